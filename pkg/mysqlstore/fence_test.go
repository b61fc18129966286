package mysqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// age moves the last step of a campaign's epoch into the past.
func (b *bundle) age(id string, by time.Duration) {
	b.tb.Helper()
	b.mustExec("UPDATE campaigns SET epoch_since = epoch_since - INTERVAL ? MICROSECOND WHERE slug = ?", by.Microseconds(), id)
}

func (b *bundle) campaign(id string) coupon.Campaign {
	b.tb.Helper()
	campaign, err := b.Campaign(b.tb.Context(), id)
	require.NoError(b.tb, err)
	return campaign
}

// fencing takes the current epoch of a campaign to fencing.
func (b *bundle) fencing(id string) coupon.EpochRef {
	b.tb.Helper()
	campaign := b.campaign(id)
	ref := campaign.Ref()
	begun, err := b.BeginFence(b.tb.Context(), []coupon.EpochRef{ref})
	require.NoError(b.tb, err)
	require.Equal(b.tb, []coupon.EpochRef{ref}, begun)
	return ref
}

// fenced takes a campaign through F1 and F5.
func (b *bundle) fenced(id string, mode coupon.Mode) coupon.Campaign {
	b.tb.Helper()
	campaign, err := b.CloseEpoch(b.tb.Context(), b.fencing(id), mode)
	require.NoError(b.tb, err)
	require.Equal(b.tb, b.campaign(id), campaign)
	return campaign
}

// activated opens a loading epoch.
func (b *bundle) activated(c coupon.Campaign) {
	b.tb.Helper()
	doc := c.Document()
	doc.Seal = fmt.Sprint("seal-", doc.Epoch)
	_, err := b.ActivateEpoch(b.tb.Context(), doc)
	require.NoError(b.tb, err)
}

// keep leaves a failed event of a claim.
func (b *bundle) keep(c coupon.Claim, status coupon.FailureStatus) {
	b.tb.Helper()
	require.NoError(b.tb, b.Park(b.tb.Context(), []coupon.FailedEvent{{
		Claim: c, Status: status, Reason: coupon.ReasonTransientExhausted,
	}}))
}

// atOnce makes n calls together and returns what those that succeeded gave; CodeUnavailable is how the others lose.
func atOnce[T any](t *testing.T, n int, call func() (T, error)) (won []T) {
	t.Helper()
	results := make(chan T, n)
	var group errgroup.Group
	for range n {
		group.Go(func() error {
			result, err := call()
			if coupon.CodeOf(err) == coupon.CodeUnavailable {
				return nil
			}
			if err == nil {
				results <- result
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	close(results)
	for result := range results {
		won = append(won, result)
	}
	return won
}

func TestBeginFenceTakesEveryCampaignAtItsEpoch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var refs []coupon.EpochRef
	for i := range 20 {
		id := fmt.Sprintf("c%02d", i)
		b.opened(id, 10)
		refs = append(refs, coupon.EpochRef{Campaign: id, Epoch: 1})
	}
	b.opened("bystander", 10)
	b.reopen("c05")  // is at epoch 2
	b.fencing("c07") // somebody began before
	loading := b.fenced("c09", coupon.ModeRedis)
	refs = append(refs, loading.Ref(),
		coupon.EpochRef{Campaign: "nowhere", Epoch: 1}, coupon.EpochRef{Campaign: "bystander", Epoch: 2})
	versions := scan[int64](b, "SELECT SUM(version) FROM campaigns")

	begun, err := b.BeginFence(t.Context(), refs)

	require.NoError(t, err)
	var want []coupon.EpochRef
	for _, ref := range refs[:20] {
		if ref.Campaign != "c05" && ref.Campaign != "c09" {
			want = append(want, ref)
		}
	}
	require.Equal(t, want, begun)
	again, err := b.BeginFence(t.Context(), refs)
	require.NoError(t, err)
	require.Equal(t, want, again)
	for _, ref := range want {
		c := b.campaign(ref.Campaign)
		require.Equal(t, coupon.EpochFencing, c.EpochState)
	}
	require.Equal(t, coupon.EpochActive, b.campaign("c05").EpochState)
	require.Equal(t, coupon.EpochLoading, b.campaign("c09").EpochState)
	require.Equal(t, coupon.EpochActive, b.campaign("bystander").EpochState)
	require.Equal(t, len(want), scan[int](b, "SELECT COUNT(*) FROM campaign_epochs WHERE state = 'fencing'"))
	require.Equal(t, versions, scan[int64](b, "SELECT SUM(version) FROM campaigns"), "a push must not undo what F2 tells Redis")
	none, err := b.BeginFence(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

// reopen takes a campaign through a whole fence.
func (b *bundle) reopen(id string) coupon.Campaign {
	b.tb.Helper()
	b.activated(b.fenced(id, coupon.ModeRedis))
	return b.campaign(id)
}

func TestBeginFenceStopsConfirming(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("a", 1)
	before := b.campaign("a").EpochSince
	b.age("a", time.Hour)
	b.fencing("a")
	standings, err := b.Standings(t.Context(), []string{"a"})
	require.NoError(t, err)
	require.False(t, standings["a"].Confirms(1))
	require.False(t, b.campaign("a").EpochSince.Before(before), "a step is stamped by the database's clock")
}

func TestWantFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	refused := func(id string, code coupon.Code) {
		t.Helper()
		_, err := b.WantFence(ctx, id)
		require.Equal(t, code, coupon.CodeOf(err))
	}
	refused("none", coupon.CodeCampaignNotFound)
	require.NoError(t, b.CreateCampaign(ctx, draft("a", 10)))
	refused("a", coupon.CodeInvalidTransition)
	b.reopened("a")
	before := b.campaign("a")
	for range 2 {
		got, err := b.WantFence(ctx, "a")
		require.NoError(t, err)
		require.EqualValues(t, 1, got.FenceWanted)
		require.Equal(t, before.Version, got.Version)
	}
	b.fencing("a")
	refused("a", coupon.CodeInvalidTransition)
	next, err := b.CloseEpoch(ctx, before.Ref(), coupon.ModeRedis)
	require.NoError(t, err)
	require.NotEqual(t, next.FenceWanted, next.Epoch, "the wish died with the epoch")
	refused("a", coupon.CodeInvalidTransition)
	b.activated(next)
	require.EqualValues(t, 1, b.campaign("a").FenceWanted)
	_, err = b.SetStatus(ctx, "a", coupon.CampaignPaused)
	require.NoError(t, err)
	got, err := b.WantFence(ctx, "a")
	require.NoError(t, err)
	require.EqualValues(t, 2, got.FenceWanted)
	_, err = b.SetStatus(ctx, "a", coupon.CampaignClosed)
	require.NoError(t, err)
	refused("a", coupon.CodeInvalidTransition)
}

func TestWatched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	set := func(id string, status coupon.CampaignStatus) {
		t.Helper()
		_, err := b.SetStatus(ctx, id, status)
		require.NoError(t, err)
	}
	for _, id := range []string{"active", "paused", "closed", "fencing", "sql", "closed-sql", "retired", "closed-fencing"} {
		b.opened(id, 1)
	}
	for _, id := range []string{"draft", "draft-loading", "draft-closed"} {
		require.NoError(t, b.CreateCampaign(ctx, draft(id, 1)))
	}
	_, err := b.BeginEpoch(ctx, "draft-loading", coupon.ModeRedis)
	require.NoError(t, err)
	set("paused", coupon.CampaignPaused)
	b.fencing("fencing")
	b.fenced("sql", coupon.ModeSQL)
	b.fenced("closed-sql", coupon.ModeSQL)
	for _, id := range []string{"closed", "closed-sql", "retired", "closed-fencing", "draft-closed"} {
		set(id, coupon.CampaignClosed)
	}
	b.fenced("retired", coupon.ModeRedis)
	b.fencing("closed-fencing")

	watched, err := b.Watched(ctx)

	require.NoError(t, err)
	var ids []string
	for _, c := range watched {
		ids = append(ids, c.ID)
	}
	require.Equal(t, []string{"active", "closed", "closed-fencing", "draft-loading", "fencing", "paused", "sql"}, ids)
	require.False(t, watched[0].EpochSince.IsZero())
}

// One row that stays locked must not keep every other campaign from being fenced.
func TestBeginFenceLeavesOutALockedCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refs := make([]coupon.EpochRef, 3)
	for i, id := range []string{"before", "held", "later"} {
		b.opened(id, 10)
		refs[i] = coupon.EpochRef{Campaign: id, Epoch: 1}
	}
	_, release := b.heldRow("held")
	impatient := b.open(b.with("innodb_lock_wait_timeout", "1"))

	begun, err := impatient.BeginFence(t.Context(), refs)
	require.NoError(t, err)
	require.Equal(t, []coupon.EpochRef{refs[0], refs[2]}, begun)
	require.Equal(t, coupon.EpochActive, b.campaign("held").EpochState)
	_, err = impatient.BeginFence(t.Context(), refs[1:2])
	require.Equal(t, coupon.CodeUnavailable, coupon.CodeOf(err), "it alone is to be tried again")

	release()
	begun, err = impatient.BeginFence(t.Context(), refs)
	require.NoError(t, err)
	require.Equal(t, refs, begun)
}
