package redisstock

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func TestClaimGrantsInTheOrderOfTheBatch(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(4)
		doc.PerUserLimit = 2
		b.start(t, doc)
		kim, lee := keyFor("kim"), keyFor("lee")
		second := coupon.Key{User: "kim", N: 2}
		before := time.Now().Add(-time.Second)

		decisions := b.claimAll(t, doc, kim, lee, kim, second, coupon.Key{User: "kim", N: 3}, keyFor("choi"), keyFor("late"), lee)

		verdicts := make([]coupon.Verdict, len(decisions))
		serials := make([]int64, len(decisions))
		for i, d := range decisions {
			verdicts[i], serials[i] = d.Verdict, d.Claim.Serial
		}
		require.Equal(t, []coupon.Verdict{
			coupon.Granted, coupon.Granted, coupon.Held, coupon.Granted,
			coupon.RefusedPerUserLimit, coupon.Granted, coupon.RefusedSoldOut, coupon.Held,
		}, verdicts)
		require.Equal(t, []int64{1, 2, 1, 3, 0, 4, 0, 2}, serials)
		require.Equal(t, int64(4), decisions[6].Hi)

		first := decisions[0].Claim
		require.Equal(t, coupon.Key{Campaign: doc.Campaign, User: "kim", N: 1}, first.Key)
		require.Equal(t, doc.Epoch, first.Epoch)
		require.WithinRange(t, first.ClaimedAt, before, time.Now().Add(time.Second))
		require.Equal(t, coupon.MarkReserved, decisions[2].Mark)
		require.Equal(t, first, decisions[2].Claim)

		again := b.claimAll(t, doc, kim, second)
		require.Equal(t, coupon.Decision{Verdict: coupon.Held, Claim: first, Mark: coupon.MarkReserved}, again[0])
		require.Equal(t, decisions[3].Claim, again[1].Claim)

		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, doc.Epoch)
		require.NoError(t, err)
		require.Equal(t, Snapshot{Exists: true, Document: doc, Count: 4, Members: 4, Serials: 4, Pending: 4}, snapshot)
	})
}

func TestClaimAnswersHoldersInEveryState(t *testing.T) {
	past, future := time.Now().Add(-time.Minute), time.Now().Add(30*time.Minute)
	set := func(change func(*coupon.Document)) func(*testing.T, bundle, coupon.Document) {
		return func(t *testing.T, b bundle, doc coupon.Document) {
			change(&doc)
			doc.Version++
			_, err := b.Push(t.Context(), doc)
			require.NoError(t, err)
		}
	}
	hset := func(field, value string) func(*testing.T, bundle, coupon.Document) {
		return func(t *testing.T, b bundle, doc coupon.Document) {
			require.NoError(t, b.client.HSet(t.Context(), metaKey(doc.Campaign), field, value).Err())
		}
	}
	cases := []struct {
		name   string
		change func(*testing.T, bundle, coupon.Document)
		want   coupon.Verdict
	}{
		{"not started", set(func(d *coupon.Document) { d.OpensAt = future }), coupon.RefusedNotStarted},
		{"ended", set(func(d *coupon.Document) { d.ClosesAt = past }), coupon.RefusedEnded},
		{"paused", set(func(d *coupon.Document) { d.State = coupon.DocumentPaused }), coupon.RefusedPaused},
		{"closed", set(func(d *coupon.Document) { d.State = coupon.DocumentClosed }), coupon.RefusedEnded},
		{"sold out", set(func(d *coupon.Document) { d.Hi = 1 }), coupon.RefusedSoldOut},
		{"no more per user", set(func(d *coupon.Document) { d.PerUserLimit = 0 }), coupon.RefusedPerUserLimit},
		{"fenced", hset("state", "fenced"), coupon.WrongEpoch},
		{"later epoch", hset("epoch", "2"), coupon.WrongEpoch},
		{"state that nobody knows", hset("state", "ajar"), coupon.Broken},
		{"hi that is no number", hset("hi", "many"), coupon.Broken},
		{"no seal", func(t *testing.T, b bundle, doc coupon.Document) {
			require.NoError(t, b.client.HDel(t.Context(), metaKey(doc.Campaign), "seal").Err())
		}, coupon.Broken},
		{"no meta", func(t *testing.T, b bundle, doc coupon.Document) {
			require.NoError(t, b.client.Del(t.Context(), metaKey(doc.Campaign)).Err())
		}, coupon.Broken},
		{"no count", func(t *testing.T, b bundle, doc coupon.Document) {
			require.NoError(t, b.client.Del(t.Context(), keysOf(doc.Campaign, doc.Epoch).count).Err())
		}, coupon.Broken},
	}
	onEveryRedis(t, func(t *testing.T, b bundle) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				doc := b.start(t, newDocument(10))
				holder := b.claimOne(t, doc, "holder")
				require.Equal(t, coupon.Granted, holder.Verdict)
				c.change(t, b, doc)
				before := b.state(t, doc)

				decisions := b.claimAll(t, doc, keyFor("new"), keyFor("holder"), keyFor("new"))

				require.Equal(t, c.want, decisions[0].Verdict)
				require.Equal(t, c.want, decisions[2].Verdict)
				require.Equal(t, coupon.Held, decisions[1].Verdict)
				require.Equal(t, holder.Claim, decisions[1].Claim)
				require.Equal(t, before, b.state(t, doc), "a refusal writes nothing")
			})
		}
	})
}

func TestClaimNeverOpenedIsBroken(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(10)
		require.Equal(t, coupon.Broken, b.claimOne(t, doc, "kim").Verdict)
		require.NoError(t, b.Prepare(t.Context(), doc))
		t.Cleanup(func() { b.client.Unlink(context.Background(), allKeys(doc)...) })
		require.Equal(t, coupon.Broken, b.claimOne(t, doc, "kim").Verdict, "prepared is not open")
	})
}

func TestClaimRefusesAnOversizedBatch(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(2000))
		_, err := b.Claim(t.Context(), doc.Campaign, doc.Epoch, crowd("u", maxBatch+1))
		require.Error(t, err)

		for _, d := range b.claimAll(t, doc, crowd("u", maxBatch)...) {
			require.Equal(t, coupon.Granted, d.Verdict)
		}
		require.NoError(t, b.Forget(t.Context(), doc.Campaign, doc.Epoch, crowd("u", maxBatch+500)))

		none, err := b.Claim(t.Context(), doc.Campaign, doc.Epoch, nil)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestClaimRefusesAnImpossibleN(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := b.start(t, newDocument(10))
		for _, d := range b.claimAll(t, doc, coupon.Key{User: "kim", N: 0}, coupon.Key{User: "kim", N: -1}) {
			require.Equal(t, coupon.RefusedPerUserLimit, d.Verdict)
		}
	})
}

func TestClaimKeepsEveryDigit(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(0)
		doc.Lo = 999_999_999_999_998 // the next ones pass 1e15, where Lua's own notation changes
		doc.Hi = doc.Lo + 10
		doc.PerUserLimit = 2
		b.start(t, doc)
		keys := []coupon.Key{
			keyFor("9007199254740992"), keyFor("9007199254740993"), keyFor("9007199254740994"),
			{User: "9007199254740993", N: 2},
			keyFor("0009007199254740993"), keyFor("9007199254740993.0"),
		}
		for i, d := range b.claimAll(t, doc, keys...) {
			require.Equal(t, coupon.Granted, d.Verdict, keys[i].User)
			require.Equal(t, doc.Lo+int64(i), d.Claim.Serial)
		}
		for i, d := range b.claimAll(t, doc, keys...) {
			require.Equal(t, coupon.Held, d.Verdict)
			require.Equal(t, doc.Lo+int64(i), d.Claim.Serial)
			require.Equal(t, keys[i].User, d.Claim.User)
		}
		taken, err := b.TakePending(t.Context(), doc.Campaign, doc.Epoch, coupon.Take{Limit: 10, Lease: time.Hour, Overdue: -time.Minute})
		require.NoError(t, err)
		require.Len(t, taken, len(keys))
		for _, claim := range taken {
			i := claim.Serial - doc.Lo
			require.Equal(t, keys[i].User, claim.User)
			require.Equal(t, keys[i].N, claim.N)
		}
	})
}

func TestClaimWindowIsHalfOpen(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	b := connect(t, "redis://"+server.Addr())
	doc := b.start(t, newDocument(10))
	for _, edge := range []struct {
		name string
		at   time.Time
		want coupon.Verdict
	}{
		{"a millisecond early", doc.OpensAt.Add(-time.Millisecond), coupon.RefusedNotStarted},
		{"the first instant", doc.OpensAt, coupon.Granted},
		{"the last millisecond", doc.ClosesAt.Add(-time.Millisecond), coupon.Granted},
		{"the end", doc.ClosesAt, coupon.RefusedEnded},
	} {
		server.SetTime(edge.at)
		d := b.claimOne(t, doc, strconv.FormatInt(edge.at.UnixMilli(), 10))
		require.Equal(t, edge.want, d.Verdict, edge.name)
		if edge.want == coupon.Granted {
			require.Equal(t, edge.at, d.Claim.ClaimedAt)
		}
	}
}

func TestClaimWindowByTheClockOfRedis(t *testing.T) {
	onEveryRedis(t, func(t *testing.T, b bundle) {
		doc := newDocument(1_000_000)
		doc.OpensAt = doc.ClosesAt.Add(-time.Minute)
		b.start(t, doc)
		user := 0
		claim := func() coupon.Decision {
			user++
			return b.claimOne(t, doc, strconv.Itoa(user))
		}
		soon := func() time.Time { return time.Now().UTC().Truncate(time.Millisecond).Add(30 * time.Millisecond) }
		push := func() {
			doc.Version++
			_, err := b.Push(t.Context(), doc)
			require.NoError(t, err)
		}
		require.Equal(t, coupon.RefusedNotStarted, claim().Verdict)

		doc.OpensAt = soon()
		push()
		await(t, "the window opens", func() bool {
			d := claim()
			if d.Verdict == coupon.Granted {
				require.False(t, d.Claim.ClaimedAt.Before(doc.OpensAt))
			}
			return d.Verdict == coupon.Granted
		})

		doc.ClosesAt = soon()
		push()
		await(t, "the window closes", func() bool {
			d := claim()
			if d.Verdict == coupon.Granted {
				require.True(t, d.Claim.ClaimedAt.Before(doc.ClosesAt))
			}
			return d.Verdict == coupon.RefusedEnded
		})
	})
}

// A round trip over several campaigns keeps them apart, whatever one of them is like, and whether Redis knows the scripts.
func TestClaimAllJudgesEachCampaignByItself(t *testing.T) {
	t.Parallel()
	b := connect(t, testenv.PrivateRedis(t).URL)
	one, two, broken := b.start(t, newDocument(1)), b.start(t, newDocument(10)), b.start(t, newDocument(10))
	require.NoError(t, b.client.Del(t.Context(), keysOf(broken.Campaign, 1).meta).Err())
	require.NoError(t, b.client.ScriptFlush(t.Context()).Err())
	batches := []coupon.Batch{
		{EpochRef: refOf(one), Keys: crowd("u", 2)},
		{EpochRef: refOf(broken), Keys: crowd("u", 1)},
		{EpochRef: refOf(two)},
		{EpochRef: refOf(two), Keys: crowd("u", 3)},
		{EpochRef: refOf(two), Keys: crowd("v", maxBatch+1)},
		{EpochRef: refOf(two), Keys: crowd("u", 4)},
	}
	decided := b.ClaimAll(t.Context(), batches)
	require.Len(t, decided, len(batches))
	verdicts := func(i int) []coupon.Verdict {
		all := []coupon.Verdict{}
		for _, d := range decided[i].Decisions {
			all = append(all, d.Verdict)
		}
		return all
	}
	granted, held := coupon.Granted, coupon.Held
	require.Equal(t, []coupon.Verdict{granted, coupon.RefusedSoldOut}, verdicts(0))
	require.Equal(t, []coupon.Verdict{coupon.Broken}, verdicts(1))
	require.Empty(t, verdicts(2), "nothing was asked")
	require.Equal(t, []coupon.Verdict{granted, granted, granted}, verdicts(3))
	require.ErrorContains(t, decided[4].Err, "at most 1000")
	require.Equal(t, []coupon.Verdict{held, held, held, granted}, verdicts(5))
	for i := range decided {
		require.Equal(t, i == 4, decided[i].Err != nil, "%v", decided[i].Err)
	}

	require.NoError(t, b.client.ScriptFlush(t.Context()).Err())
	require.NoError(t, b.ForgetAll(t.Context(), []coupon.Batch{
		{EpochRef: refOf(one), Keys: crowd("u", 1)}, {EpochRef: refOf(two)}, {EpochRef: refOf(two), Keys: crowd("u", 4)},
	}))
	for _, doc := range []coupon.Document{one, two} {
		snapshot, err := b.Snapshot(t.Context(), doc.Campaign, 1)
		require.NoError(t, err)
		require.Zero(t, snapshot.Pending, "of %d", snapshot.Members)
	}
}
