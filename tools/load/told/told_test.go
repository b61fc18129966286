package told

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/load/client"
)

const claim = `{"object":"claim","campaign_id":"winter","user_id":"u-1","n":1,"serial":137,"status":"accepted",` +
	`"claimed_at":"2026-12-01T03:00:00.021Z","issued_at":null,"coupon":null,"receipt":null}`

func with(old, replacement string) string { return strings.Replace(claim, old, replacement, 1) }

func problem(status, code string) string {
	return `{"type":"/problems/` + code + `","title":"모두 \"소진\"","status":` + status + `,"code":"` + code + `","errors":[{"code":"nested","status":1}]}`
}

func TestRead(t *testing.T) {
	t.Parallel()
	issued := with(`"accepted"`, `"issued"`)
	issued = strings.Replace(issued, `"coupon":null`, `"coupon":{"code":"7K3M","status":"active","expires_at":null}`, 1)
	pending := strings.Replace(with(`137`, `null`), "accepted", "pending", 1)
	reordered := `{"coupon":{"status":"active","serial":5},"status":"accepted", "serial" : 137 ,"n":1,"user_id":"u-1","campaign_id":"winter"}`
	cases := map[string]struct {
		response client.Response
		kind     Kind
		serial   int64
		fault    string
	}{
		"first":          {client.Response{Status: 202, Location: true, Body: []byte(claim)}, Accepted, 137, ""},
		"issued":         {client.Response{Status: 202, Location: true, Body: []byte(issued)}, Issued, 137, ""},
		"replay":         {client.Response{Status: 200, Replayed: true, Location: true, Body: []byte(claim)}, Replayed, 137, ""},
		"issued replay":  {client.Response{Status: 200, Replayed: true, Location: true, Body: []byte(issued)}, Replayed, 137, ""},
		"pending":        {client.Response{Status: 202, Location: true, Body: []byte(pending)}, Pending, 0, ""},
		"another order":  {client.Response{Status: 202, Location: true, Body: []byte(reordered)}, Accepted, 137, ""},
		"failed":         {client.Response{Status: 200, Replayed: true, Location: true, Body: []byte(strings.Replace(pending, "pending", "failed", 1))}, Other, 0, ""},
		"sold out":       {client.Response{Status: 409, Body: []byte(problem("409", "sold_out"))}, SoldOut, 0, ""},
		"paused":         {client.Response{Status: 409, Body: []byte(problem("409", "campaign_paused"))}, Other, 0, ""},
		"overloaded":     {client.Response{Status: 503, RetryAfter: true, Body: []byte(problem("503", "overloaded"))}, Overloaded, 0, ""},
		"rate limited":   {client.Response{Status: 429, RetryAfter: true, Body: []byte(problem("429", "rate_limited"))}, Overloaded, 0, ""},
		"unavailable":    {client.Response{Status: 503, RetryAfter: true, Body: []byte(problem("503", "issuance_unavailable"))}, Other, 0, ""},
		"other user":     {client.Response{Status: 202, Location: true, Body: []byte(with("u-1", "u-2"))}, Other, 137, "the claim is another one's"},
		"other campaign": {client.Response{Status: 202, Location: true, Body: []byte(with("winter", "summer"))}, Other, 137, "the claim is another one's"},
		"other n":        {client.Response{Status: 202, Location: true, Body: []byte(with(`"n":1`, `"n":2`))}, Other, 137, "the claim is another one's"},
		"no serial":      {client.Response{Status: 202, Location: true, Body: []byte(with("137", "null"))}, Other, 0, "a promise without a serial"},
		"early serial":   {client.Response{Status: 202, Location: true, Body: []byte(with("accepted", "pending"))}, Other, 0, "a serial without a promise"},
		"other status":   {client.Response{Status: 202, Location: true, Body: []byte(with("accepted", "maybe"))}, Other, 0, "the claim has no known status"},
		"200, first":     {client.Response{Status: 200, Location: true, Body: []byte(claim)}, Other, 137, "status and Idempotent-Replayed do not agree"},
		"202, replay":    {client.Response{Status: 202, Replayed: true, Location: true, Body: []byte(claim)}, Other, 137, "status and Idempotent-Replayed do not agree"},
		"no location":    {client.Response{Status: 202, Body: []byte(claim)}, Other, 137, "no Location"},
		"half a claim":   {client.Response{Status: 202, Location: true, Body: []byte(claim[:len(claim)-1])}, Other, 137, "the claim is not readable"},
		"no problem":     {client.Response{Status: 500, Body: []byte("oops")}, Other, 0, "the problem is not readable"},
		"wrong problem":  {client.Response{Status: 409, Body: []byte(problem("404", "sold_out"))}, Other, 0, "the problem names another status"},
		"internal error": {client.Response{Status: 500, Body: []byte(problem("500", "internal_error"))}, Other, 0, "a server error"},
		"no retry-after": {client.Response{Status: 503, Body: []byte(problem("503", "overloaded"))}, Other, 0, "no Retry-After"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := Read(c.response, "winter", []byte("u-1"))
			require.Equal(t, c.fault, a.Fault)
			require.Equal(t, c.kind.String(), a.Kind.String())
			require.Equal(t, c.serial, a.Serial)
		})
	}
	anybody := Read(client.Response{Status: 202, Location: true, Body: []byte(with("u-1", "u-2"))}, "winter", nil)
	require.Equal(t, Accepted, anybody.Kind)
}

func TestReadingDoesNotAllocate(t *testing.T) {
	response := client.Response{Status: 202, Location: true, Body: []byte(claim)}
	refusal := client.Response{Status: 409, Body: []byte(problem("409", "sold_out"))}
	user := []byte("u-1")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		Read(response, "winter", user)
		Read(refusal, "winter", user)
	}))
}

// FuzzMembers compares with encoding/json: of an object that it takes, the same members are seen.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{claim, problem("409", "sold_out"), `{}`, ` { "a" : [1,{"b":"}]"}] , "c":-1e5, "d":"\\\"" } `, `{"a":1`, `[]`, `{"a" 1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		seen := map[string][]byte{}
		whole := members(object, func(key, value []byte) { seen[string(key)] = value })
		var want map[string]json.RawMessage
		if json.Unmarshal(object, &want) != nil || want == nil || bytes.ContainsAny(object, "\\\x80\xff") {
			return
		}
		require.True(t, whole)
		for key, value := range want {
			if strings.ToValidUTF8(key, "") != key || strings.Contains(key, "\ufffd") {
				return
			}
			require.Equal(t, string(value), string(seen[key]))
		}
	})
}

func BenchmarkRead(b *testing.B) {
	response := client.Response{Status: 202, Location: true, Body: []byte(claim)}
	b.ReportAllocs()
	for b.Loop() {
		Read(response, "winter", []byte("u-1"))
	}
}
