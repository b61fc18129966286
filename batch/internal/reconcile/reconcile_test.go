package reconcile

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestStoresThatAgree(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 6)
	require.NoError(t, b.store.CreateCampaign(t.Context(), coupon.Campaign{
		ID: "draft", Name: "draft", Limit: 1, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
	}))

	result := b.run(0)

	require.True(t, result.OK())
	require.Len(t, result.Campaigns, 1, "a draft has nothing to compare")
	c := result.Campaigns[0]
	require.Equal(t, Equal, c.Verdict)
	require.Empty(t, c.Differences)
	require.Empty(t, c.InFlight)
	require.Equal(t, []int64{10, 6, 6}, []int64{c.Limit, c.Issued, c.Rows})
	require.Equal(t, &Stock{Count: 6, Members: 6, Serials: 6, Document: c.Redis.Document}, c.Redis)
	require.EqualValues(t, 10, c.Redis.Document.Hi)
}

func TestAFailedEventKeepsItsPlace(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	claims := b.claim(3, 1)
	b.park(claims[0])
	b.forget(claims)

	result := b.run(0)

	require.True(t, result.OK(), result.words())
	require.Equal(t, Equal, result.Campaigns[0].Verdict)
	require.EqualValues(t, 1, result.Campaigns[0].Live)
	require.EqualValues(t, 1, result.Campaigns[0].Failed[coupon.FailurePending])
}

// A batch is parked as transient_exhausted, the consumer is killed before it commits its offsets, and the redelivery makes
// the rows: until retry-failed ran, each claim is a row and a pending failed event.
func TestAFailedEventWhoseRowIsThereKeepsNoPlace(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	claims := b.claim(3, 1)
	b.park(claims[0])
	b.issue(claims)
	b.forget(claims)
	result := b.run(0)
	require.Empty(t, result.Campaigns[0].Differences)
	require.Zero(t, result.Campaigns[0].Live)
	require.EqualValues(t, 1, result.Campaigns[0].Failed[coupon.FailurePending])
}

func TestEveryDifferenceIsNamed(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 2)
	for name, c := range map[string]struct {
		damage func(b *bundle)
		codes  []string
		words  string
	}{
		"a row is gone": {
			damage: func(b *bundle) { b.exec("DELETE FROM coupons WHERE user_id = 'u2'") },
			codes:  []string{"rows_issued", "claims_missing"},
			words:  "MySQL counts 6 places taken and has 5 rows: 1 row missing",
		},
		"a place is counted twice": {
			damage: func(b *bundle) { b.exec("UPDATE campaigns SET issued = 7") },
			codes:  []string{"rows_issued", "places_twice"},
			words:  "1 place too many",
		},
		"a place is lost": {
			damage: func(b *bundle) { b.exec("UPDATE campaigns SET issued = 5") },
			codes:  []string{"rows_issued", "places_lost"},
			words:  "MySQL counts 5 places taken and has 6 rows: 1 row too many",
		},
		"hi is too small": {
			damage: func(b *bundle) { b.exec("UPDATE campaigns SET hi = hi - 2") },
			codes:  []string{"places_lost"},
			words:  "2 places cannot be sold",
		},
		"a member too many in Redis": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.SAdd(b.tb.Context(), b.key("1:users"), "u99").Err()) },
			codes:  []string{"members_count", "members_serials", "claims_missing"},
			words:  "Redis counts 6 claims and has 7 members: 1 member too many",
		},
		"a member is gone from Redis": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.SRem(b.tb.Context(), b.key("1:users"), "u2").Err()) },
			codes:  []string{"members_count", "members_serials", "claims_unknown"},
			words:  "1 unknown to Redis",
		},
		"a serial is gone from Redis": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.HDel(b.tb.Context(), b.key("1:serials"), "u2").Err()) },
			codes:  []string{"members_serials"},
			words:  "Redis has 6 members and 5 serials: 1 serial missing",
		},
		"the count was raised": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.Incr(b.tb.Context(), b.key("1:count")).Err()) },
			codes:  []string{"members_count", "places_lost"},
			words:  "Redis counts 7 claims and has 6 members: 1 member missing",
		},
		"the count is gone": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.Del(b.tb.Context(), b.key("1:count")).Err()) },
			codes:  []string{"count_missing"},
			words:  "Redis has no count of the epoch",
		},
		"a failed event nobody claimed": {
			damage: func(b *bundle) {
				b.park(coupon.Claim{Key: coupon.Key{Campaign: b.campaign, User: "u99", N: 1}, Epoch: 1, Serial: 9, ClaimedAt: time.Now()})
			},
			codes: []string{"claims_unknown", "places_twice"},
			words: "MySQL has 6 rows and 1 live failed events, Redis only 6 claims: 1 unknown to Redis",
		},
		"claims that got lost": {
			damage: func(b *bundle) { b.forget(b.claim(6, 2)) },
			codes:  []string{"claims_missing", "places_lost"},
			words:  "of 8 claims in Redis 6 are rows and 0 live failed events: 2 missing (pending 0, consumer lag 0)",
		},
		"more is missing than is on its way": {
			damage: func(b *bundle) { b.forget(b.claim(6, 2)); b.claim(8, 1) },
			codes:  []string{"claims_missing", "places_lost"},
			words:  "3 missing (pending 1, consumer lag 0)",
		},
		"Redis lost everything": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.Del(b.tb.Context(), b.key("meta")).Err()) },
			codes:  []string{"document_missing"},
			words:  "Redis holds no document of the campaign",
		},
		"the document was changed": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.HSet(b.tb.Context(), b.key("meta"), "hi", 50).Err()) },
			codes:  []string{"document_differs"},
			words:  "hi 50 instead of 10",
		},
		"Redis is fenced, MySQL is not": {
			damage: func(b *bundle) {
				require.NoError(b.tb, b.client.HSet(b.tb.Context(), b.key("meta"), "state", "fenced").Err())
			},
			codes: []string{"document_fenced"},
			words: "epoch 1 is fenced in Redis and active in MySQL",
		},
		"MySQL went back": {
			damage: func(b *bundle) { b.exec("UPDATE campaigns SET version = version - 1") },
			codes:  []string{"document_ahead"},
			words:  "MySQL only version",
		},
		"Redis was replaced": {
			damage: func(b *bundle) {
				b.exec("UPDATE campaigns SET seal = 'abc'")
				require.NoError(b.tb, b.client.HSet(b.tb.Context(), b.key("meta"), "seal", "abc").Err())
			},
			codes: []string{"seal_broken"},
			words: "epoch 1 was opened on Redis abc, this one is ",
		},
		"two epochs have one serial": {
			damage: func(b *bundle) {
				b.exec(`INSERT INTO campaign_epochs (campaign_id, epoch, lo, hi, hi_max, state, opened_at)
					SELECT id, 9, 8, 20, 20, 'closed', created_at FROM campaigns`)
			},
			codes: []string{"epochs_overlap"},
			words: "serials 8 to 10 belong to epoch 1 and epoch 9",
		},
		"hi was raised past the epoch": {
			damage: func(b *bundle) {
				b.exec("UPDATE campaigns SET hi = 12, hi_wanted = 12, limit_count = 12, version = version + 1")
			},
			codes: []string{"epoch_range"},
			words: "hi is 12, and serials above 10 are not of epoch 1",
		},
		"a row with a serial of nowhere": {
			damage: func(b *bundle) { b.exec("UPDATE coupons SET serial = 77 WHERE user_id = 'u2'") },
			codes:  []string{"rows_serial"},
			words:  "user u2, n 1, serial 77 in MySQL: row_serial",
		},
		"a return without a cancelled coupon": {
			damage: func(b *bundle) {
				b.exec("INSERT INTO stock_ledger (campaign_id, kind, delta, ref, created_at) SELECT id, 'return', 1, 'coupon:2', created_at FROM campaigns")
				b.exec("UPDATE campaigns SET issued = issued - 1, hi = hi + 1")
				b.exec("UPDATE campaign_epochs SET hi_max = hi_max + 1")
			},
			codes: []string{"returns_coupons"},
			words: "1 return in the ledger without a cancelled coupon",
		},
		"a fence that nobody goes on with": {
			damage: func(b *bundle) {
				b.exec("UPDATE campaigns SET epoch_state = 'fencing', epoch_since = UTC_TIMESTAMP(6) - INTERVAL 90 SECOND")
			},
			codes: []string{"epoch_stuck"},
			words: "epoch 1 is fencing and has made no progress for 1m3",
		},
		"a loading that nobody goes on with": {
			damage: func(b *bundle) {
				b.exec("UPDATE campaigns SET epoch_state = 'loading', epoch_since = UTC_TIMESTAMP(6) - INTERVAL 40 SECOND")
			},
			codes: []string{"epoch_stuck"},
			words: "epoch 1 is loading and has made no progress for ",
		},
		"Redis is in a later epoch": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.HSet(b.tb.Context(), b.key("meta"), "epoch", 2).Err()) },
			codes:  []string{"document_epoch"},
			words:  "Redis is in epoch 2, MySQL in epoch 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, topic, 10)
			b.sold(0, 6)
			require.True(t, b.run(0).OK(), "before the damage")
			c.damage(b)

			result := b.run(0)

			require.False(t, result.OK())
			require.Equal(t, Different, result.Campaigns[0].Verdict)
			require.Equal(t, c.codes, codes(result.Campaigns[0].Differences), result.words())
			require.Contains(t, result.words(), c.words)
		})
	}
}

func TestWhatIsOnItsWayIsNoDifference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave func(b *bundle)
		codes []string // in flight
		empty bool     // nothing was sold
	}{
		"pending in Redis": {
			leave: func(b *bundle) { b.claim(3, 2) },
			codes: []string{"claims_missing", "places_lost", "pending"},
		},
		"pending, and a row already": {
			leave: func(b *bundle) { b.issue(b.claim(3, 2)) },
			codes: []string{"pending"},
		},
		"unread in the log": {
			leave: func(b *bundle) { claims := b.claim(3, 2); b.publish(claims); b.forget(claims) },
			codes: []string{"claims_missing", "places_lost"},
		},
		"a document that was not pushed yet": {
			leave: func(b *bundle) {
				_, err := b.store.SetStatus(b.tb.Context(), b.campaign, coupon.CampaignPaused)
				require.NoError(b.tb, err)
			},
			codes: []string{"document_old"},
		},
		"an epoch that is loaded and not open": {
			leave: func(b *bundle) { require.NoError(b.tb, b.client.Del(b.tb.Context(), b.key("meta")).Err()) },
			codes: []string{"document_unopened"},
			empty: true,
		},
		"a raise": {
			leave: func(b *bundle) {
				_, err := b.store.RaiseLimit(b.tb.Context(), b.campaign, 5, "", "")
				require.NoError(b.tb, err)
			},
			codes: []string{"raise_open"},
		},
		"a lowering": {
			leave: func(b *bundle) {
				_, err := b.store.BeginLowering(b.tb.Context(), b.campaign, 5, "", "")
				require.NoError(b.tb, err)
			},
			codes: []string{"lowering_open", "document_old"},
		},
		"a lowering that Redis refused": {
			leave: func(b *bundle) {
				b.claim(3, 2) // of which MySQL does not know
				wish, err := b.store.BeginLowering(b.tb.Context(), b.campaign, 6, "", "")
				require.NoError(b.tb, err)
				pushed, err := b.stock.Push(b.tb.Context(), wish.Document())
				require.NoError(b.tb, err)
				require.EqualValues(b.tb, 10, pushed.Hi)
			},
			codes: []string{"lowering_open", "claims_missing", "places_lost", "pending"},
		},
		"a wish for a fence": {
			leave: func(b *bundle) {
				_, err := b.store.WantFence(b.tb.Context(), b.campaign)
				require.NoError(b.tb, err)
			},
			codes: []string{"fence_wanted"},
		},
		"a loading at work": {
			leave: func(b *bundle) {
				b.exec("UPDATE campaigns SET epoch_state = 'loading', epoch_since = UTC_TIMESTAMP(6)")
			},
			codes: []string{"epoch"},
		},
		"a fence at work": {
			leave: func(b *bundle) { b.exec("UPDATE campaigns SET epoch_state = 'fencing'") },
			codes: []string{"epoch"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 10)
			if !c.empty {
				b.sold(0, 3)
			}
			c.leave(b)

			result := b.run(0)

			require.True(t, result.OK(), result.words())
			require.Equal(t, InFlight, result.Campaigns[0].Verdict)
			require.Equal(t, c.codes, codes(result.Campaigns[0].InFlight))

			waited := b.run(time.Millisecond)
			require.False(t, waited.OK(), "the wait is over")
			require.Equal(t, c.codes, codes(waited.Campaigns[0].Differences))
			require.Empty(t, waited.Campaigns[0].InFlight)
		})
	}
}

func TestALogThatIsNotReadIsADifferenceAfterTheWait(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	claims := b.claim(0, 3)
	b.publish(claims)
	b.issue(claims)
	b.forget(claims)

	require.True(t, b.run(0).OK())
	result := b.run(time.Millisecond)

	require.False(t, result.OK())
	require.Equal(t, Equal, result.Campaigns[0].Verdict)
	require.Equal(t, []Difference{{"lag", "the consumers are still 3 records behind"}}, result.Differences)
}

func TestAWaitEndsWhenNothingIsOnItsWay(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	claims := b.claim(0, 3)
	job := b.job(time.Minute)
	looked := make(chan struct{})
	once := sync.OnceFunc(func() { close(looked) })
	job.Progress = func(int, int) { once() }
	go func() {
		<-looked
		b.issue(claims)
		b.forget(claims)
	}()

	result, err := job.RunOnce(t.Context())

	require.NoError(t, err)
	require.Equal(t, Equal, result.Campaigns[0].Verdict, result.words())
}

// While a crowd applies, the stores never agree at one instant. That is no difference, at no instant.
func TestACrowdIsNoDifference(t *testing.T) {
	t.Parallel()
	const crowd = 2000
	b := setup(t, crowd)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for from := 0; from < crowd; from += 20 {
			b.sold(from, 20)
		}
	}()
	job := b.job(0)
	looks := 0
	for running := true; running; looks++ {
		select {
		case <-done:
			running = false
		default:
		}
		result, err := job.RunOnce(t.Context())
		require.NoError(t, err)
		require.True(t, result.OK(), "look %d: %s", looks, result.words())
	}
	require.Greater(t, looks, 5)
	result := b.run(0)
	require.Equal(t, Equal, result.Campaigns[0].Verdict)
	require.EqualValues(t, crowd, result.Campaigns[0].Rows)
}

func TestAClosedCampaignMayHaveNoKeys(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 6)
	_, err := b.store.SetStatus(t.Context(), b.campaign, coupon.CampaignClosed)
	require.NoError(t, err)
	require.NoError(t, b.client.Del(t.Context(), b.key("meta"), b.key("1:count"), b.key("1:users"), b.key("1:serials")).Err())

	require.True(t, b.run(0).OK())
	b.exec("DELETE FROM coupons WHERE user_id = 'u2'")
	require.Equal(t, []string{"rows_issued"}, codes(b.run(0).Campaigns[0].Differences))
}

func TestAStoreThatDoesNotAnswerIsNoAgreement(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 6)
	require.NoError(t, b.client.HDel(t.Context(), b.key("meta"), "hi").Err())

	result := b.run(0)

	require.False(t, result.OK())
	require.Equal(t, Unknown, result.Campaigns[0].Verdict)
	require.Contains(t, result.words(), b.campaign+": unknown: ")

	require.NoError(t, b.store.Close())
	_, err := b.job(0).RunOnce(t.Context())
	require.Error(t, err)
}

func TestTheReportReadsWell(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 6)
	b.exec("DELETE FROM coupons WHERE user_id = 'u2'")
	result := b.run(0)

	var table bytes.Buffer
	require.NoError(t, result.WriteTable(&table))
	require.Contains(t, table.String(), b.campaign)
	require.Contains(t, table.String(), "different: rows_issued: MySQL counts 6 places taken and has 5 rows: 1 row missing\n")
	require.Equal(t, "campaigns 1, equal 0, in flight 0, different 1, unknown 0, consumer lag 0", result.Summary())

	text, err := json.Marshal(result)
	require.NoError(t, err)
	var back map[string]any
	require.NoError(t, json.Unmarshal(text, &back))
	campaign := back["campaigns"].([]any)[0].(map[string]any)
	require.Equal(t, "different", campaign["verdict"])
	require.Equal(t, []any{}, campaign["in_flight"], "a list is never null")
	require.EqualValues(t, 6, campaign["redis"].(map[string]any)["members"])
}
