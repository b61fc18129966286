package coupon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIdentifiersMatchTheirContract(t *testing.T) {
	t.Parallel()
	campaign := regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	user := regexp.MustCompile(`^[A-Za-z0-9._~@|:+=-]{1,128}$`)
	samples := []string{
		"", "a", "-a", "a-", "0", "winter-2026", "Winter", "a_b", "a b", "a\x00", "a\n", "한글", "é", "a/b",
		"u-42", "a@b.c", "auth0|507f1f77", "A+B=C~", "a,b", `a"b`, "a\\b", "{a}", "../x",
	}
	for _, n := range []int{62, 63, 64, 127, 128, 129} {
		samples = append(samples, strings.Repeat("a", n))
	}
	for c := range 256 {
		samples = append(samples, "a"+string([]byte{byte(c)}))
	}
	for _, s := range samples {
		require.Equal(t, campaign.MatchString(s) && !strings.HasSuffix(s, "\n"), ValidCampaignID(s), "campaign %q", s)
		require.Equal(t, user.MatchString(s) && !strings.HasSuffix(s, "\n"), ValidUserID(s), "user %q", s)
	}
}

func TestCampaignMoves(t *testing.T) {
	t.Parallel()
	all := []CampaignStatus{CampaignDraft, CampaignActive, CampaignPaused, CampaignClosed}
	legal := map[[2]CampaignStatus]bool{
		{CampaignDraft, CampaignActive}: true, {CampaignPaused, CampaignActive}: true, {CampaignActive, CampaignPaused}: true,
		{CampaignActive, CampaignClosed}: true, {CampaignPaused, CampaignClosed}: true, {CampaignDraft, CampaignClosed}: true,
	}
	for _, from := range all {
		for _, to := range all {
			want := from == to || legal[[2]CampaignStatus{from, to}]
			require.Equal(t, want, from.CanBecome(to), "%s to %s", from, to)
		}
		require.False(t, from.CanBecome("sold_out"))
	}
}

func TestAvailability(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	end := start.Add(time.Hour)
	at := func(status CampaignStatus, now time.Time, last int64) Availability {
		c := Campaign{Status: status, StartsAt: start, EndsAt: end, HiWanted: 10}
		return c.Availability(now, last)
	}
	require.Equal(t, NotStarted, at(CampaignActive, start.Add(-1), 0))
	require.Equal(t, Open, at(CampaignActive, start, 9))
	require.Equal(t, SoldOut, at(CampaignActive, start, 10))
	require.Equal(t, Open, at(CampaignActive, end.Add(-1), 0))
	require.Equal(t, Ended, at(CampaignActive, end, 0), "the end is exclusive")
	require.Equal(t, Paused, at(CampaignPaused, start, 10))
	require.Equal(t, Ended, at(CampaignClosed, start, 0))
	require.Equal(t, NotStarted, at(CampaignDraft, start, 0))
}

func TestDocumentTellsRedisNoMoreThanItMayGive(t *testing.T) {
	t.Parallel()
	c := Campaign{ID: "w", Status: CampaignActive, Hi: 120, HiWanted: 100, Lo: 1, Epoch: 3, Version: 7, PerUserLimit: 2}
	require.Equal(t, int64(100), c.Document().Hi)
	require.Equal(t, DocumentOpen, c.Document().State)
	c.Status = CampaignPaused
	require.Equal(t, DocumentPaused, c.Document().State)
	c.Status = CampaignClosed
	require.Equal(t, DocumentClosed, c.Document().State)
	c.Status = CampaignDraft
	require.Equal(t, DocumentClosed, c.Document().State, "a draft grants nothing")
}

func TestOnlyTheActiveEpochConfirms(t *testing.T) {
	t.Parallel()
	for _, state := range []EpochState{EpochNone, EpochLoading, EpochActive, EpochFencing, EpochClosed} {
		require.Equal(t, state == EpochActive, Standing{Epoch: 2, State: state}.Confirms(2))
	}
	require.False(t, Standing{Epoch: 3, State: EpochActive}.Confirms(2))
	require.False(t, Standing{}.Confirms(0))
}

func TestNextAttempt(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	for attempts, want := range map[int]time.Duration{
		0: 5 * time.Second, 1: 10 * time.Second, 2: 20 * time.Second, 9: 2560 * time.Second, 10: time.Hour, 11: time.Hour,
	} {
		due, parked := NextAttempt(attempts, now, 0)
		require.False(t, parked)
		require.Equal(t, want, due.Sub(now), "after %d attempts", attempts)
		early, _ := NextAttempt(attempts, now, 0.999999)
		require.Greater(t, early.Sub(now), want/2-time.Second)
		require.Less(t, early.Sub(now), want)
	}
	_, parked := NextAttempt(MaxAttempts, now, 0)
	require.True(t, parked)
}

func TestCodesCannotBeMistyped(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		code, err := NewCode(rand.Reader)
		require.NoError(t, err)
		require.Regexp(t, `^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`, code)
		require.True(t, ValidCode(code))
		require.False(t, seen[code])
		seen[code] = true
	}
	code, err := NewCode(rand.Reader)
	require.NoError(t, err)
	for i := range len(code) {
		for _, c := range codeAlphabet {
			wrong := code[:i] + string(c) + code[i+1:]
			require.Equal(t, wrong == code, ValidCode(wrong), "%s for %s", wrong, code)
		}
	}
	require.False(t, ValidCode(""))
	_, err = NewCode(strings.NewReader("short"))
	require.Error(t, err)
}

func TestValidityEndsACoupon(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	until := issued.Add(time.Hour)
	require.Nil(t, Validity{}.ExpiresAt(issued))
	require.Equal(t, issued.AddDate(0, 0, 30), *Validity{Days: 30}.ExpiresAt(issued))
	require.Equal(t, until, *Validity{Until: &until}.ExpiresAt(issued))
}

func TestErrorsKeepTheirCodeAndHideTheirCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp: refused")
	err := fmt.Errorf("apply: %w", Unavailable("claim", cause))
	require.Equal(t, CodeUnavailable, CodeOf(err))
	require.ErrorIs(t, err, cause)
	require.Empty(t, CodeOf(cause))
	require.Empty(t, CodeOf(nil))
}
