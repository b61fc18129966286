package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/outbox"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// mending is a job that repairs.
func (b *bundle) mending(wait time.Duration) *Job {
	b.tb.Helper()
	producer := kafkastream.NewProducer(b.kafka, b.topic, 100)
	b.tb.Cleanup(func() { _ = producer.Close(context.Background()) })
	job := b.job(wait)
	job.Tools = &Tools{
		Outbox: outbox.New(b.stock, producer), Log: producer, Desk: b.store, Redis: b.stock, Fence: b.fencer(),
	}
	return job
}

func (b *bundle) mend(wait time.Duration) Result {
	b.tb.Helper()
	result, err := b.mending(wait).RunOnce(b.tb.Context())
	require.NoError(b.tb, err)
	return result
}

// guard does what a warden does with a wish, until the test ends.
func (b *bundle) guard() {
	b.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	fencer := b.fencer()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c, err := b.store.Campaign(ctx, b.campaign)
			if err == nil && c.FenceWanted == c.Epoch {
				_ = fencer.Rebuild(ctx, []coupon.Campaign{c}, coupon.ModeRedis) // the next turn says how it went
			}
			<-time.After(10 * time.Millisecond)
		}
	}()
	b.tb.Cleanup(func() { cancel(); <-done })
}

func actions(result Result) []string {
	all := make([]string, len(result.Repairs))
	for i, r := range result.Repairs {
		all[i] = r.Action
	}
	return all
}

// consume makes rows of claims that were published, as the consumers would.
func (b *bundle) consume(claims []coupon.Claim) {
	b.tb.Helper()
	b.issue(claims)
	require.NoError(b.tb, b.admin().SeekToEnd(b.tb.Context(), b.group, b.topic))
}

func TestWhatOnlyARebuildMends(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 2)
	for name, damage := range map[string]func(b *bundle){
		"a member is gone": func(b *bundle) {
			require.NoError(b.tb, b.client.SRem(b.tb.Context(), b.key("1:users"), "u2").Err())
		},
		"a serial is gone": func(b *bundle) {
			require.NoError(b.tb, b.client.HDel(b.tb.Context(), b.key("1:serials"), "u2").Err())
		},
		"the count is gone": func(b *bundle) {
			require.NoError(b.tb, b.client.Del(b.tb.Context(), b.key("1:count")).Err())
		},
		"all is gone": func(b *bundle) {
			require.NoError(b.tb, b.client.Del(b.tb.Context(), b.key("meta"), b.key("1:count"), b.key("1:users"), b.key("1:serials")).Err())
		},
		"the document was changed": func(b *bundle) {
			require.NoError(b.tb, b.client.HSet(b.tb.Context(), b.key("meta"), "hi", 50).Err())
		},
		"the document is ahead": func(b *bundle) {
			require.NoError(b.tb, b.client.HSet(b.tb.Context(), b.key("meta"), "version", 50).Err())
		},
		"hi is too small": func(b *bundle) {
			b.exec("UPDATE campaigns SET hi = hi - 2, hi_wanted = hi_wanted - 2, version = version + 1")
		},
		"hi is too large": func(b *bundle) {
			b.exec("UPDATE campaign_epochs SET hi_max = hi_max + 2")
			b.exec("UPDATE campaigns SET hi = hi + 2, hi_wanted = hi_wanted + 2, version = version + 1")
		},
		"a place is lost with a dead event": func(b *bundle) {
			claim := b.claim(6, 1)[0]
			b.forget([]coupon.Claim{claim})
			b.park(claim)
			b.exec("UPDATE failed_events SET status = 'dead'")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, topic, 10)
			b.sold(0, 6)
			b.guard()
			damage(b)
			require.False(t, b.run(0).OK())

			result := b.mend(time.Minute)

			c := b.one(result)
			require.Equal(t, Equal, c.Verdict, result.words())
			require.Contains(t, actions(result), "rebuild")
			require.EqualValues(t, 2, c.Epoch)
			require.Equal(t, []int64{6, 6, 4}, []int64{c.Rows, c.Redis.Members, *c.Unsold})
			require.Contains(t, result.words(), b.campaign+": repair: rebuild: asked for a rebuild of epoch 1: ")
		})
	}
}

func TestClaimsThatAgreeInNumberAloneAreMended(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 6)
	b.guard()
	require.NoError(t, b.client.HSet(t.Context(), b.key("1:serials"), "u2", "9|1700000000000|a").Err())
	require.True(t, b.mend(0).OK(), "the counts do not show it")
	job := b.mending(time.Minute)
	job.Claims = true

	result, err := job.RunOnce(t.Context())

	require.NoError(t, err)
	require.Equal(t, Equal, b.one(result).Verdict, result.words())
	require.Equal(t, []string{"rebuild"}, actions(result))
}

func TestARebuildThatNobodyBeginsIsADifference(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 6)
	require.NoError(t, b.client.SRem(t.Context(), b.key("1:users"), "u2").Err())

	result := b.mend(time.Millisecond)

	require.False(t, result.OK())
	require.Equal(t, []string{"members_count", "members_serials", "claims_unknown", "fence_wanted"}, codes(b.one(result).Differences))
	require.Equal(t, []string{"rebuild"}, actions(result))
	require.Equal(t, noMember, b.one(result).Claims.List[0].Wrong)
}

func TestPendingClaimsArePublished(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	claims := b.claim(0, 3)
	for _, c := range claims[:2] {
		require.NoError(t, b.client.ZAdd(t.Context(), b.key("1:pending"), redis.Z{Score: 1, Member: c.User}).Err())
	}

	result := b.mend(0)

	require.Equal(t, []Repair{{Campaign: b.campaign, Action: "sweep", Detail: "published 2 pending claims again"}}, result.Repairs)
	require.EqualValues(t, 2, result.Lag)
	require.EqualValues(t, 1, b.one(result).Redis.Pending, "one is not due: its server is at work on it")
	b.consume(claims)
	b.forget(claims)
	require.Equal(t, Equal, b.one(b.run(0)).Verdict)
}

func TestClaimsThatTheLogLostArePublished(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	lost := b.claim(3, 2)
	b.forget(lost)
	dead := b.claim(5, 1)
	b.park(dead[0])
	b.forget(dead)
	b.exec("UPDATE failed_events SET status = 'dead'")

	result := b.mend(0)

	require.Equal(t, []string{"publish"}, actions(result), "a rebuild would have forgotten them")
	require.Contains(t, result.words(), "published again 2 claims that Redis granted and nobody else knew")
	require.EqualValues(t, 2, result.Lag)
	b.consume(lost)
	c := b.one(b.run(0))
	require.Equal(t, []string{"claims_missing", "places_lost"}, codes(c.Differences), "that of the dead one")
	require.EqualValues(t, 5, c.Rows)
	require.Equal(t, []string{"rebuild"}, actions(b.mend(0)), "it is nobody's any more")
}

func TestLostClaimsOfKeysThatAreNotWholeAreNotBelieved(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	b.forget(b.claim(3, 2))
	b.exec("UPDATE campaigns SET seal = 'abc'")
	require.NoError(t, b.client.HSet(t.Context(), b.key("meta"), "seal", "abc").Err())

	result := b.mend(0)

	require.Equal(t, []string{"rebuild"}, actions(result))
	require.Zero(t, result.Lag)
}

func TestDocumentsArePushed(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	_, err := b.store.SetStatus(t.Context(), b.campaign, coupon.CampaignPaused)
	require.NoError(t, err)

	result := b.mend(0)

	require.Equal(t, []string{"push"}, actions(result))
	require.Equal(t, Equal, b.one(result).Verdict, result.words())
	require.Equal(t, coupon.DocumentPaused, b.one(result).Redis.Document.State)
}

func TestLoweringsAreSettled(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 2)
	for name, c := range map[string]struct {
		pending int
		limit   int64
		words   string
	}{
		"taken":   {0, 4, "settled: the limit is lower by 6"},
		"refused": {2, 10, "settled: Redis has given the places out, the limit stays"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, topic, 10)
			b.sold(0, 3)
			claims := b.claim(3, c.pending)
			_, err := b.store.BeginLowering(t.Context(), b.campaign, 6, "", "")
			require.NoError(t, err)

			result := b.mend(time.Millisecond)
			require.Contains(t, result.words(), c.words)
			b.issue(claims)
			b.forget(claims)

			result = b.mend(0)
			require.Equal(t, Equal, b.one(result).Verdict, result.words())
			require.Equal(t, c.limit, b.one(result).Limit)
			require.Equal(t, c.limit, b.one(result).Redis.Document.Hi)
		})
	}
}

func TestAnEpochThatIsLoadedIsOpened(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	require.NoError(t, b.client.Del(t.Context(), b.key("meta")).Err())
	require.Empty(t, b.mend(0).Repairs, "its warden may be about to: some server may know the epoch before")

	began := time.Now()
	result := b.mend(time.Minute)

	require.Equal(t, []string{"open"}, actions(result))
	require.GreaterOrEqual(t, time.Since(began), viewsGone)
	require.Equal(t, Equal, b.one(result).Verdict, result.words())
}

func TestARepairThatFailsIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	_, err := b.store.SetStatus(t.Context(), b.campaign, coupon.CampaignPaused)
	require.NoError(t, err)
	b.exec("UPDATE campaigns SET seal = 'abc'")

	result := b.mend(2 * time.Second)

	require.False(t, result.OK())
	require.Equal(t, []string{"push", "rebuild"}, actions(result))
	require.Contains(t, result.words(), ": repair: push: pushed version ")
	require.Contains(t, result.words(), ": not done: ")
}

func TestMySQLsContradictionsAreNobodysToRepair(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 2)
	for name, damage := range map[string]string{
		"a row is gone":          "DELETE FROM coupons WHERE user_id = 'u2'",
		"a place is not counted": "UPDATE campaigns SET issued = 5",
		"a serial of nowhere":    "UPDATE coupons SET serial = 77 WHERE user_id = 'u2'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, topic, 10)
			b.sold(0, 6)
			require.NoError(t, b.client.SRem(t.Context(), b.key("1:users"), "u1").Err())
			b.exec(damage)

			result := b.mend(0)

			require.False(t, result.OK())
			require.Empty(t, result.Repairs, "a rebuild would count with the wrong numbers")
		})
	}
}

func TestNeedsRebuild(t *testing.T) {
	t.Parallel()
	campaign := func(codes ...string) *Campaign {
		c := &Campaign{Status: coupon.CampaignActive, EpochState: coupon.EpochActive}
		for _, code := range codes {
			c.Differences = append(c.Differences, Difference{Code: code})
		}
		return c
	}
	for _, code := range mended {
		require.Equal(t, code, needsRebuild(campaign(code), 0))
		require.Equal(t, code, needsRebuild(campaign("claims_missing", code), 3))
		closed, paused, fencing := campaign(code), campaign(code), campaign(code)
		closed.Status, paused.Status, fencing.EpochState = coupon.CampaignClosed, coupon.CampaignPaused, coupon.EpochFencing
		require.Empty(t, needsRebuild(closed, 0))
		require.Equal(t, code, needsRebuild(paused, 0))
		require.Empty(t, needsRebuild(fencing, 0))
		for _, b := range broken {
			require.Empty(t, needsRebuild(campaign(code, b), 0))
		}
	}
	for _, code := range []string{"claims_missing", "pending", "lag", "document_old", "document_unopened", "epoch_stuck", "raise_open"} {
		require.Empty(t, needsRebuild(campaign(code), 0), code)
	}
	missing := campaign("claims_missing", "places_lost")
	require.Equal(t, "places_lost", needsRebuild(campaign("places_lost"), 0))
	require.Empty(t, needsRebuild(missing, 0), "nobody knows where they are")
	missing.Claims = &Claims{Total: 2, Wrong: map[string]int64{eventDead: 2}}
	require.Equal(t, "places_lost", needsRebuild(missing, 0))
	require.Empty(t, needsRebuild(missing, 1), "one is on its way")
	missing.Claims.Wrong[noRow] = 1
	require.Empty(t, needsRebuild(missing, 0))
}
