package token

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	secret  = []byte(strings.Repeat("s", 32))
	now     = time.Unix(1_800_000_000, 0)
	expires = now.Add(time.Hour)
)

func TestAToken(t *testing.T) {
	t.Parallel()
	key := NewKey(secret, expires)
	signed := string(key.Append([]byte("Bearer "), "u-42"))[len("Bearer "):]
	user, err := key.Verify(signed, now)
	require.NoError(t, err)
	require.Equal(t, "u-42", user)
	require.NotEqual(t, signed, string(key.Append(nil, "u-43")))

	other := NewKey([]byte(strings.Repeat("x", 32)), expires)
	none := encoding.EncodeToString([]byte(`{"alg":"none"}`)) + signed[strings.IndexByte(signed, '.'):]
	resigned := none[:strings.LastIndexByte(none, '.')]
	resigned += "." + encoding.EncodeToString(key.sign([]byte(resigned)))
	noExpiry := header + "." + encoding.EncodeToString([]byte(`{"sub":"u-42"}`))
	noExpiry += "." + encoding.EncodeToString(key.sign([]byte(noExpiry)))
	for name, wrong := range map[string]string{
		"nothing": "", "other secret": string(other.Append(nil, "u-42")), "no signature": signed[:strings.LastIndexByte(signed, '.')+1],
		"another header": none, "another header, signed": resigned, "no expiry": noExpiry, "one part": "abc",
		"other payload": strings.Replace(signed, ".", ".e30", 1),
	} {
		_, err := key.Verify(wrong, now)
		require.Error(t, err, name)
	}
	_, err = key.Verify(signed, expires)
	require.Error(t, err, "expired")
}

func BenchmarkAppend(b *testing.B) {
	key := NewKey(secret, expires)
	buffer := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buffer = key.Append(buffer[:0], "u-0123456789abcdef")
	}
}

func BenchmarkVerify(b *testing.B) {
	key := NewKey(secret, expires)
	signed := string(key.Append(nil, "u-0123456789abcdef"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Verify(signed, now); err != nil {
			b.Fatal(err)
		}
	}
}
