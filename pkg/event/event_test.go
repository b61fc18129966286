package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func golden() coupon.Claim {
	return coupon.Claim{
		Key:       coupon.Key{Campaign: "winter-2026", User: "u-42", N: 1},
		Epoch:     3,
		Serial:    137,
		ClaimedAt: time.Date(2026, 12, 1, 3, 0, 0, 21e6, time.UTC),
	}
}

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(tb, err)
	return b
}

func TestGoldenEvent(t *testing.T) {
	t.Parallel()
	want := read(t, "claimed.v1.json")
	require.Equal(t, string(want), string(Encode(golden())))
	got, err := Decode(want)
	require.NoError(t, err)
	require.Equal(t, golden(), got)
	require.Equal(t, "winter-2026:u-42", string(Key(golden())))
}

func TestGoldenHeaders(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	for _, h := range Headers(golden()) {
		fmt.Fprintf(&got, "%s: %s\n", h.Key, h.Value)
	}
	require.Equal(t, string(read(t, "claimed.v1.headers")), got.String())
	require.False(t, IsBarrier(Headers(golden())))
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	got, err := Decode(read(t, "claimed.v1.unknown_fields.json"))
	require.NoError(t, err)
	require.Equal(t, golden(), got)
}

func TestBarrier(t *testing.T) {
	t.Parallel()
	require.True(t, IsBarrier(BarrierHeaders("fence-1")))
	require.False(t, IsBarrier(nil))
	require.False(t, IsBarrier([]Header{{"content-type", []byte(TypeBarrier)}}))
}

func TestEncodeKeepsUTCMilliseconds(t *testing.T) {
	t.Parallel()
	claim := golden()
	claim.ClaimedAt = claim.ClaimedAt.Add(999*time.Microsecond + 999).In(time.FixedZone("KST", 9*60*60))
	require.Equal(t, string(read(t, "claimed.v1.json")), string(Encode(claim)))
}

func TestExtremesComeBack(t *testing.T) {
	t.Parallel()
	claim := coupon.Claim{
		Key: coupon.Key{
			Campaign: strings.Repeat("z", coupon.MaxCampaignID),
			User:     "A0._~@|:+=-" + strings.Repeat("z", coupon.MaxUserID-11),
			N:        math.MaxInt32,
		},
		Epoch:     math.MaxInt64,
		Serial:    math.MaxInt64,
		ClaimedAt: time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
	}
	value := Encode(claim)
	require.LessOrEqual(t, len(value), MaxSize)
	got, err := Decode(value)
	require.NoError(t, err)
	require.Equal(t, claim, got)
}

func TestDecodeTakesAnyOffsetAndEscapes(t *testing.T) {
	t.Parallel()
	value := swap(t, `2026-12-01T03:00:00.021Z`, `2026-12-01T12:00:00.0219+09:00`)
	value = bytes.Replace(value, []byte(`"u-42"`), []byte(`"\u0075-42"`), 1)
	got, err := Decode(value)
	require.NoError(t, err)
	require.Equal(t, golden(), got)
}

// swap returns the golden event with one part replaced, and fails when the part is not there.
func swap(tb testing.TB, old, with string) []byte {
	tb.Helper()
	value := read(tb, "claimed.v1.json")
	require.Equal(tb, 1, bytes.Count(value, []byte(old)), old)
	return bytes.Replace(value, []byte(old), []byte(with), 1)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	whole := string(read(t, "claimed.v1.json"))
	cases := []struct{ name, value, reason string }{
		{"nothing", "", ReasonEmpty},
		{"too large", whole + strings.Repeat(" ", MaxSize), ReasonTooLarge},
		{"garbage", "\x00\x01garbage", ReasonNotJSON},
		{"spaces", "   ", ReasonNotJSON},
		{"byte order mark", "\ufeff" + whole, ReasonNotJSON},
		{"bad UTF-8 in an unknown field", string(swap(t, `{`, "{\"x\":\"\xff\",")), ReasonNotJSON},
		{"array", "[" + whole + "]", ReasonNotJSON},
		{"null", "null", ReasonNotJSON},
		{"string", `"x"`, ReasonNotJSON},
		{"truncated", whole[:len(whole)-1], ReasonNotJSON},
		{"truncated in a value", whole[:40], ReasonNotJSON},
		{"comma before the brace", string(swap(t, `"}`, `",}`)), ReasonNotJSON},
		{"missing comma", string(swap(t, `1,"campaign_id"`, `1 "campaign_id"`)), ReasonNotJSON},
		{"missing colon", string(swap(t, `"epoch":`, `"epoch"`)), ReasonNotJSON},
		{"key is a number", string(swap(t, `"epoch":`, `7:`)), ReasonNotJSON},
		{"control character", string(swap(t, "u-42", "u\n42")), ReasonNotJSON},
		{"two objects", whole + whole, ReasonTrailingData},
		{"trailing brace", whole + "}", ReasonTrailingData},
		{"trailing NUL", whole + "\x00", ReasonTrailingData},
		{"duplicate key", string(swap(t, `"n":1`, `"n":1,"n":1`)), ReasonDuplicateKey},
		{"duplicate key, escaped", string(swap(t, `"n":1`, `"n":1,"\u006e":2`)), ReasonDuplicateKey},
		{"duplicate unknown key", string(swap(t, `"n":1`, `"n":1,"x":1,"x":1`)), ReasonDuplicateKey},
		{"empty object", "{}", ReasonVersion},
		{"no version", string(swap(t, `"v":1,`, ``)), ReasonVersion},
		{"version 2, other types", string(swap(t, `"v":1,"campaign_id":"winter-2026"`, `"v":2,"campaign_id":7`)), ReasonVersion},
		{"version as text", string(swap(t, `"v":1`, `"v":"1"`)), ReasonVersion},
		{"version 1.0", string(swap(t, `"v":1`, `"v":1.0`)), ReasonVersion},
		{"version in capitals", string(swap(t, `"v":1`, `"V":1`)), ReasonVersion},
		{"no campaign", string(swap(t, `"campaign_id":"winter-2026",`, ``)), ReasonCampaign},
		{"campaign in capitals", string(swap(t, `winter`, `Winter`)), ReasonCampaign},
		{"campaign is null", string(swap(t, `"winter-2026"`, `null`)), ReasonCampaign},
		{"campaign is a number", string(swap(t, `"winter-2026"`, `2026`)), ReasonCampaign},
		{"user is empty", string(swap(t, `u-42`, ``)), ReasonUser},
		{"user with a slash", string(swap(t, `u-42`, `u/42`)), ReasonUser},
		{"user with an escaped quote", string(swap(t, `u-42`, `u\"42`)), ReasonUser},
		{"user is a lone surrogate", string(swap(t, `u-42`, `\ud800`)), ReasonUser},
		{"user is too long", string(swap(t, `u-42`, strings.Repeat("u", coupon.MaxUserID+1))), ReasonUser},
		{"user is a list", string(swap(t, `"u-42"`, `["u-42"]`)), ReasonUser},
		{"n is zero", string(swap(t, `"n":1`, `"n":0`)), ReasonN},
		{"n is negative", string(swap(t, `"n":1`, `"n":-1`)), ReasonN},
		{"n is past 32 bits", string(swap(t, `"n":1`, `"n":4294967297`)), ReasonN},
		{"n is true", string(swap(t, `"n":1`, `"n":true`)), ReasonN},
		{"no epoch", string(swap(t, `"epoch":3,`, ``)), ReasonEpoch},
		{"epoch is zero", string(swap(t, `"epoch":3`, `"epoch":0`)), ReasonEpoch},
		{"epoch has an exponent", string(swap(t, `"epoch":3`, `"epoch":3e0`)), ReasonEpoch},
		{"serial is zero", string(swap(t, `137`, `0`)), ReasonSerial},
		{"serial is a fraction", string(swap(t, `137`, `137.5`)), ReasonSerial},
		{"serial is text", string(swap(t, `137`, `"137"`)), ReasonSerial},
		{"serial is past 64 bits", string(swap(t, `137`, `9223372036854775808`)), ReasonSerial},
		{"no time", string(swap(t, `,"claimed_at":"2026-12-01T03:00:00.021Z"`, ``)), ReasonClaimedAt},
		{"time is a number", string(swap(t, `"2026-12-01T03:00:00.021Z"`, `1796094000021`)), ReasonClaimedAt},
		{"time has no offset", string(swap(t, `00.021Z`, `00.021`)), ReasonClaimedAt},
		{"time before 1970", string(swap(t, `2026-12-01T`, `1969-12-01T`)), ReasonClaimedAt},
		{"time in year 10000 UTC", string(swap(t, `2026-12-01T03:00:00.021Z`, `9999-12-31T23:59:59-01:00`)), ReasonClaimedAt},
		{"time is empty", string(swap(t, `2026-12-01T03:00:00.021Z`, ``)), ReasonClaimedAt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode([]byte(c.value))
			var malformed *Malformed
			require.ErrorAs(t, err, &malformed)
			require.Equal(t, c.reason, malformed.Reason)
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"claimed.v1.json", "claimed.v1.unknown_fields.json"} {
		f.Add(read(f, name))
	}
	f.Add([]byte(`{"v":1,"campaign_id":"a","epoch":1,"serial":1,"user_id":"\u0075","n":1,"claimed_at":"0000-01-01T00:00:00+01:00"}`))
	f.Add([]byte(`{"v":1,"v":1}`))
	f.Add([]byte(`{"a":[{"b":1}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		claim, err := Decode(value)
		if err != nil {
			var malformed *Malformed
			require.ErrorAs(t, err, &malformed)
			require.NotEmpty(t, malformed.Reason)
			return
		}
		var reference map[string]any
		require.NoError(t, json.Unmarshal(value, &reference))
		require.Equal(t, reference["campaign_id"], claim.Campaign)
		require.Equal(t, reference["user_id"], claim.User)
		again, err := Decode(Encode(claim))
		require.NoError(t, err)
		require.Equal(t, claim, again)
	})
}

func BenchmarkEncode(b *testing.B) {
	claim := golden()
	b.ReportAllocs()
	for b.Loop() {
		Encode(claim)
	}
}

func BenchmarkHeaders(b *testing.B) {
	claim := golden()
	b.ReportAllocs()
	for b.Loop() {
		Headers(claim)
	}
}

func BenchmarkDecode(b *testing.B) {
	value := read(b, "claimed.v1.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(value); err != nil {
			b.Fatal(err)
		}
	}
}
