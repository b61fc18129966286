// Package token signs and verifies HS256 tokens with one secret, as cheaply as that can be done and still be sound.
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"strconv"
	"strings"
	"time"
)

var encoding = base64.RawURLEncoding

// header is the only one that is signed or accepted: the algorithm is not for the sender to choose.
var header = encoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

// Key signs and verifies. One goroutine may use it at a time.
type Key struct {
	mac     hash.Hash
	expires string
	payload []byte
	sum     []byte
}

// NewKey returns a key whose tokens end at expires.
func NewKey(secret []byte, expires time.Time) *Key {
	return &Key{mac: hmac.New(sha256.New, secret), expires: strconv.FormatInt(expires.Unix(), 10)}
}

// Append appends a token for a user, whose name needs no escape in JSON.
func (k *Key) Append(b []byte, user string) []byte { return k.AppendScoped(b, user, "") }

// AppendScoped appends a token that also carries scopes.
func (k *Key) AppendScoped(b []byte, user, scopes string) []byte {
	k.payload = append(append(k.payload[:0], `{"sub":"`...), user...)
	if scopes != "" {
		k.payload = append(append(k.payload, `","scope":"`...), scopes...)
	}
	k.payload = append(append(append(k.payload, `","exp":`...), k.expires...), '}')
	start := len(b)
	b = append(append(b, header...), '.')
	b = encoding.AppendEncode(b, k.payload)
	return encoding.AppendEncode(append(b, '.'), k.sign(b[start:]))
}

func (k *Key) sign(text []byte) []byte {
	k.mac.Reset()
	_, _ = k.mac.Write(text) // a hash never fails
	k.sum = k.mac.Sum(k.sum[:0])
	return k.sum
}

var errToken = errors.New("not a valid token")

// Verify returns the user of a token that this key signed and that has not expired.
func (k *Key) Verify(token string, now time.Time) (user string, err error) {
	text, signature, _ := cutLast(token)
	given, err := encoding.DecodeString(signature)
	if err != nil || !hmac.Equal(given, k.sign([]byte(text))) {
		return "", errToken
	}
	first, second, _ := strings.Cut(text, ".")
	payload, err := encoding.DecodeString(second)
	if err != nil || first != header {
		return "", errToken
	}
	var claims struct {
		Sub string `json:"sub"`
		Exp int64  `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Sub == "" || now.Unix() >= claims.Exp {
		return "", errToken
	}
	return claims.Sub, nil
}

func cutLast(token string) (before, after string, found bool) {
	if i := strings.LastIndexByte(token, '.'); i >= 0 {
		return token[:i], token[i+1:], true
	}
	return token, "", false
}
