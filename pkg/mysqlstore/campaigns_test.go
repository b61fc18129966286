package mysqlstore

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestCampaignRoundTrip(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ceiling := int64(5000)
	want := draft("full", 1000)
	want.Discount = &coupon.Discount{Type: "percent", Value: 30, Max: &ceiling, Currency: "KRW"}
	want.Validity = coupon.Validity{Days: 30}
	want.RestockOnCancel = true
	want.Metadata = json.RawMessage(`{"z": 12345678901234567890, "a": "겨울"}`)
	require.NoError(t, b.CreateCampaign(t.Context(), want))
	require.Equal(t, coupon.CodeCampaignExists, coupon.CodeOf(b.CreateCampaign(t.Context(), want)))

	got, err := b.Campaign(t.Context(), "full")
	require.NoError(t, err)
	want.Status, want.EpochState, want.Mode, want.Version = coupon.CampaignDraft, coupon.EpochNone, coupon.ModeRedis, 1
	want.NextSerial = 1
	want.CreatedAt, want.UpdatedAt = noon, noon
	require.Equal(t, want, got)
	_, err = b.Campaign(t.Context(), "none")
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
}

func TestCampaignsAndView(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"c", "a", "b"} {
		b.opened(id, 1)
	}
	require.NoError(t, b.CreateCampaign(t.Context(), draft("d", 1)))
	list := func(campaigns []coupon.Campaign, err error) (ids []string) {
		t.Helper()
		require.NoError(t, err)
		for _, c := range campaigns {
			ids = append(ids, c.ID)
		}
		return ids
	}
	require.Equal(t, []string{"a", "b"}, list(b.Campaigns(t.Context(), "", 2)))
	require.Equal(t, []string{"c", "d"}, list(b.Campaigns(t.Context(), "b", 10)))
	require.Equal(t, []string{"a", "b", "c"}, list(b.View(t.Context())))

	_, err := b.SetStatus(t.Context(), "a", coupon.CampaignClosed)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, list(b.View(t.Context())))
	b.clock.advance(8 * 24 * time.Hour)
	require.Equal(t, []string{"b", "c"}, list(b.View(t.Context())), "a closed one leaves after a week")

	standings, err := b.Standings(t.Context(), []string{"a", "d", "nowhere"})
	require.NoError(t, err)
	require.Equal(t, map[string]coupon.Standing{
		"a": {Epoch: 1, State: coupon.EpochActive}, "d": {Epoch: 0, State: coupon.EpochNone},
	}, standings)
	standings, err = b.Standings(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, standings)
}

func TestWhatCanBeNoIDNamesNoCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("a", 1)
	for _, id := range []string{"é", "\xff", "a ", "A", "a\x00", "", "-a", strings.Repeat("a", 64)} {
		_, err := b.Campaign(t.Context(), id)
		require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err), "%q: %v", id, err)
		_, err = b.SetStatus(t.Context(), id, coupon.CampaignPaused)
		require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err), "%q: %v", id, err)
		if id == "" {
			continue
		}
		page, err := b.Campaigns(t.Context(), id, 10)
		require.NoError(t, err, "%q", id)
		require.Empty(t, page, "%q", id)
	}
}

func TestViewHasNoCampaignThatWasNeverOpened(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"unopened", "abandoned", "over"} {
		require.NoError(t, b.CreateCampaign(t.Context(), draft(id, 1)))
	}
	_, err := b.BeginEpoch(t.Context(), "abandoned", coupon.ModeRedis)
	require.NoError(t, err)
	b.reopened("over")
	for _, id := range []string{"unopened", "abandoned", "over"} {
		_, err := b.SetStatus(t.Context(), id, coupon.CampaignClosed)
		require.NoError(t, err)
	}

	view, err := b.View(t.Context())

	require.NoError(t, err)
	require.Len(t, view, 1)
	require.Equal(t, "over", view[0].ID)
	b.clock.advance(8 * 24 * time.Hour)
	view, err = b.View(t.Context())
	require.NoError(t, err)
	require.Empty(t, view)
	_, err = b.Campaign(t.Context(), "over")
	require.NoError(t, err, "its users still have their coupons")
}

func TestSetStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("status", 1)
	require.NoError(t, b.CreateCampaign(t.Context(), draft("draft", 1)))
	_, err := b.SetStatus(t.Context(), "draft", coupon.CampaignActive)
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err), "a draft is opened by the fence")
	_, err = b.SetStatus(t.Context(), "none", coupon.CampaignActive)
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))

	before, err := b.Campaign(t.Context(), "status")
	require.NoError(t, err)
	version := before.Version
	for _, step := range []struct {
		to      coupon.CampaignStatus
		changes bool
		refused bool
	}{
		{to: coupon.CampaignActive},
		{to: coupon.CampaignPaused, changes: true},
		{to: coupon.CampaignPaused},
		{to: coupon.CampaignActive, changes: true},
		{to: coupon.CampaignDraft, refused: true},
		{to: coupon.CampaignClosed, changes: true},
		{to: coupon.CampaignClosed},
		{to: coupon.CampaignActive, refused: true},
	} {
		if step.changes {
			version++
		}
		got, err := b.SetStatus(t.Context(), "status", step.to)
		if step.refused {
			require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, step.to, got.Status)
		require.Equal(t, version, got.Version)
		stored, err := b.Campaign(t.Context(), "status")
		require.NoError(t, err)
		require.Equal(t, stored, got)
	}
}

func TestOpeningRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ highest, carried, limit, issued, lo, hi int64 }{
		{0, 0, 1000, 0, 1, 1000},
		{1000, 0, 1000, 400, 1001, 1600},
		{1000, 30, 1000, 400, 1031, 1600},
		{1000, 0, 1000, 1000, 1001, 1000},
		{1000, 50, 1000, 990, 1051, 1050},
		{0, 0, 0, 0, 1, 0},
	} {
		lo, hi := openingRange(c.highest, c.carried, c.limit, c.issued)
		require.Equal(t, []int64{c.lo, c.hi}, []int64{lo, hi}, "%+v", c)
	}
}

func TestOpening(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	require.NoError(t, b.CreateCampaign(ctx, draft("open", 100)))
	began, err := b.BeginEpoch(ctx, "open", coupon.ModeRedis)
	require.NoError(t, err)
	first := began.Document()
	require.EqualValues(t, 1, first.Epoch)
	require.EqualValues(t, 1, first.Lo)
	require.EqualValues(t, 100, first.Hi)
	require.Equal(t, coupon.EpochLoading, began.EpochState)
	require.Equal(t, coupon.CampaignDraft, began.Status)
	require.Equal(t, coupon.ModeRedis, began.Mode)
	_, err = b.BeginEpoch(ctx, "open", coupon.ModeRedis)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "somebody is at it")

	b.age("open", 10*time.Second)
	began, err = b.BeginEpoch(ctx, "open", coupon.ModeRedis)
	require.NoError(t, err, "it made no progress for 10 s")
	second := began.Document()
	require.EqualValues(t, 2, second.Epoch)
	require.EqualValues(t, 1, second.Lo, "an abandoned epoch gave out nothing")
	require.Greater(t, second.Version, first.Version)
	_, err = b.ActivateEpoch(ctx, first)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "the late opener lost")

	second.Seal, second.Base = "seal", 3
	done, err := b.ActivateEpoch(ctx, second)
	require.NoError(t, err)
	require.Equal(t, coupon.DocumentOpen, done.State)
	require.EqualValues(t, 3, done.Base)
	require.Equal(t, "seal", done.Seal)
	again, err := b.ActivateEpoch(ctx, second)
	require.NoError(t, err)
	require.Equal(t, done, again)
	stored := b.campaign("open")
	require.Equal(t, done, stored.Document())
	require.Equal(t, coupon.CampaignActive, stored.Status)

	second.Seal = "another Redis"
	_, err = b.ActivateEpoch(ctx, second)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "one owner an epoch")
	_, err = b.BeginEpoch(ctx, "open", coupon.ModeRedis)
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
	b.mustExec("UPDATE campaigns SET epoch_state = 'fencing'")
	_, err = b.BeginEpoch(ctx, "open", coupon.ModeRedis)
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "the log is not known to be drained")
	_, err = b.BeginEpoch(ctx, "none", coupon.ModeRedis)
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
}

func TestOpeningInModeSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.CreateCampaign(t.Context(), draft("direct", 100)))
	got, err := b.BeginEpoch(t.Context(), "direct", coupon.ModeSQL)
	require.NoError(t, err)
	require.Equal(t, coupon.CampaignActive, got.Status)
	require.Equal(t, coupon.EpochActive, got.EpochState)
	require.Equal(t, coupon.ModeSQL, got.Mode)
	require.Equal(t, []int64{1, 1, 100, 100}, []int64{got.Lo, got.NextSerial, got.Hi, got.HiWanted})
	require.Equal(t, b.campaign("direct"), got)
	require.Equal(t, 1, scan[int](b, `SELECT COUNT(*) FROM campaign_epochs WHERE state = 'active' AND mode = 'sql'
		AND opened_at IS NOT NULL`))
	_, err = b.BeginEpoch(t.Context(), "direct", coupon.ModeRedis)
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
}

func TestOpeningConcurrently(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.CreateCampaign(t.Context(), draft("race", 100)))
	began := atOnce(t, 8, func() (coupon.Campaign, error) {
		return b.BeginEpoch(t.Context(), "race", coupon.ModeRedis)
	})
	require.Len(t, began, 1)
	doc := began[0].Document()

	seals := []string{"one", "two"}
	var next atomic.Int64
	won := atOnce(t, len(seals), func() (coupon.Document, error) {
		mine := doc
		mine.Seal = seals[next.Add(1)-1]
		got, err := b.ActivateEpoch(t.Context(), mine)
		if err == nil && got.Seal != mine.Seal {
			return got, errors.New("activated for another Redis")
		}
		return got, err
	})
	require.Len(t, won, 1)
	require.Equal(t, won[0].Seal, scan[string](b, "SELECT seal FROM campaign_epochs WHERE state = 'active'"))
}

func TestOpeningOfClosedCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.CreateCampaign(t.Context(), draft("shut", 1)))
	began, err := b.BeginEpoch(t.Context(), "shut", coupon.ModeRedis)
	require.NoError(t, err)
	_, err = b.SetStatus(t.Context(), "shut", coupon.CampaignClosed)
	require.NoError(t, err)
	_, err = b.ActivateEpoch(t.Context(), began.Document())
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
	_, err = b.BeginEpoch(t.Context(), "shut", coupon.ModeRedis)
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
}

func TestCouponsAndRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	offer := draft("mine", 10)
	offer.Validity = coupon.Validity{Days: 30}
	require.NoError(t, b.CreateCampaign(t.Context(), offer))
	b.reopened("mine")
	b.issued("mine", delivery(claimOf("mine", "u", 2, 1, 2)), delivery(claimOf("mine", "u", 1, 1, 1)))
	mine := func(user string, n int) coupon.Key { return coupon.Key{Campaign: "mine", User: user, N: n} }
	list, err := b.CouponsOf(t.Context(), "mine", []coupon.Key{mine("u", 1), mine("U", 1), mine("u", 2)})
	require.NoError(t, err)
	require.Len(t, list, 2, "users differ by case")
	require.Equal(t, claimOf("mine", "u", 1, 1, 1), list[0].Claim)
	require.Equal(t, claimOf("mine", "u", 2, 1, 2), list[1].Claim)
	require.True(t, coupon.ValidCode(list[0].Code))
	require.Equal(t, coupon.CouponActive, list[0].Status)
	require.Equal(t, noon.AddDate(0, 0, 30), *list[0].ExpiresAt)
	run, err := b.StartRun(t.Context(), "retry-failed")
	require.NoError(t, err)
	require.Positive(t, run)
	require.NoError(t, b.FinishRun(t.Context(), run, true, []byte(`{"done":3}`)))
	require.Equal(t, `{"done":3}`, scan[string](b, "SELECT summary FROM batch_runs WHERE id = ? AND ok = 1", run))
}
