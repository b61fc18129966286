package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// acceptedSkew is how far the clock of the token's issuer may be off.
const acceptedSkew = 60 * time.Second

// Bearer verifies HS256 tokens: the algorithm is pinned, exp is required, and nbf, iat, iss and aud are checked.
//
// What a token says is judged by golang-jwt's Validator. Header and signature are checked here: its parser decodes the header
// of every token into a map and sets up a new HMAC for it (docs/adr/0011).
type Bearer struct {
	validator *jwt.Validator
	signers   sync.Pool              // of *signer
	header    atomic.Pointer[string] // of the last token that was signed, encoded: nearly all are the same
}

// claims are what a token says that matters here.
type claims struct {
	jwt.RegisteredClaims
	Scope any `json:"scope"` // names with spaces between them; anything else grants nothing
}

// NewBearer returns a Bearer for a secret; issuer and audience are required of a token when they are not empty.
func NewBearer(secret []byte, issuer, audience string) *Bearer {
	options := []jwt.ParserOption{jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(acceptedSkew)}
	if issuer != "" {
		options = append(options, jwt.WithIssuer(issuer))
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	return &Bearer{
		validator: jwt.NewValidator(options...),
		signers:   sync.Pool{New: func() any { return &signer{mac: hmac.New(sha256.New, secret)} }},
	}
}

// Authenticate returns the subject and the scopes of the request's token.
func (b *Bearer) Authenticate(r *http.Request) (Caller, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Caller{}, errUnauthenticated
	}
	said, ok := b.read(token)
	if !ok || b.validator.Validate(said) != nil || said.Subject == "" {
		return Caller{}, errUnauthenticated
	}
	scope, _ := said.Scope.(string)
	return Caller{User: said.Subject, Scopes: strings.Fields(scope)}, nil
}

// read returns what a token says whose header and signature are right.
func (b *Bearer) read(token string) (said *claims, ok bool) {
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, found := strings.Cut(rest, ".")
	last := b.header.Load()
	fresh := last == nil || *last != header
	if !found || fresh && !understood(header) || !b.signed(token[:len(header)+1+len(payload)], signature) {
		return nil, false
	}
	if fresh {
		kept := strings.Clone(header) // not the whole token
		b.header.Store(&kept)
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, false
	}
	said = new(claims)
	return said, json.Unmarshal(text, said) == nil
}

// understood reports whether a header names the one algorithm there is, and nothing that must be understood besides.
func understood(header string) bool {
	text, err := base64.RawURLEncoding.DecodeString(header)
	var named map[string]any
	if err != nil || json.Unmarshal(text, &named) != nil {
		return false
	}
	_, critical := named["crit"]
	return !critical && named["alg"] == jwt.SigningMethodHS256.Alg()
}

func (b *Bearer) signed(text, signature string) bool {
	s := b.signers.Get().(*signer)
	defer b.signers.Put(s)
	return s.signed(text, signature)
}

// signer signs with one secret, for one goroutine at a time.
type signer struct {
	mac              hash.Hash
	text, sum, given []byte
}

// signed reports whether the signature, encoded, is that of the text.
func (s *signer) signed(text, signature string) bool {
	var err error
	s.text = append(s.text[:0], signature...)
	if s.given, err = base64.RawURLEncoding.AppendDecode(s.given[:0], s.text); err != nil {
		return false
	}
	s.text = append(s.text[:0], text...)
	s.mac.Reset()
	_, _ = s.mac.Write(s.text) // a hash never fails
	s.sum = s.mac.Sum(s.sum[:0])
	return hmac.Equal(s.sum, s.given)
}
