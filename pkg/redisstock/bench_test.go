package redisstock

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

const (
	callers      = 512
	claimsACall  = 60 // claims of each caller in one round
	coalesceTo   = 128
	workers      = 1 // as the api-server has it: one call at a time keeps the order of arrival
	claimsARound = callers * claimsACall
)

// BenchmarkClaim is why claims ride in batches: 512 callers who each send their own claim, and the same callers whose
// claims are sent as "take what is queued". The rounds alternate, so that both meet the same machine. All claims are
// grants, under a real seal.
func BenchmarkClaim(b *testing.B) {
	LogTo(slog.New(slog.DiscardHandler)) // the library's lines would tear the results apart
	redisURL := testenv.Redis(b)
	one := connectPatiently(b, redisURL)
	options, err := parse(redisURL)
	require.NoError(b, err)
	options = tuned(options)
	options.PoolSize, options.MinIdleConns, options.MaxIdleConns, options.MaxActiveConns = callers, callers, callers, callers
	wide := bundleOf(b, redis.NewUniversalClient(options))

	var each, eachWide, coalesced time.Duration
	for b.Loop() {
		each += round(b, one, one.claimDirectly)
		eachWide += round(b, wide, wide.claimDirectly)
		c := newCoalescer(one.Stock)
		coalesced += round(b, one, c.claim)
		c.stop()
	}
	perSecond := func(d time.Duration) float64 { return float64(claimsARound*b.N) / d.Seconds() }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(perSecond(each), "each/s")
	b.ReportMetric(perSecond(eachWide), "each-512-conns/s")
	b.ReportMetric(perSecond(coalesced), "coalesced/s")
	b.ReportMetric(each.Seconds()/coalesced.Seconds(), "x-each")
	b.ReportMetric(min(each, eachWide).Seconds()/coalesced.Seconds(), "x-best-each")
}

type claimFunc func(ctx context.Context, doc coupon.Document, key coupon.Key) (coupon.Decision, error)

// round is one drop of a campaign of its own: every caller claims for users of its own.
func round(b *testing.B, stock bundle, claim claimFunc) time.Duration {
	doc := newDocument(claimsARound)
	seal, err := stock.Seal(b.Context(), doc.Campaign)
	require.NoError(b, err)
	doc.Seal = seal
	require.NoError(b, stock.Prepare(b.Context(), doc))
	require.NoError(b, stock.Open(b.Context(), doc))
	failed := make(chan error, callers)
	var group sync.WaitGroup
	started := time.Now()
	for caller := range callers {
		group.Go(func() {
			for i := range claimsACall {
				key := keyFor("user-" + strconv.Itoa(caller*claimsACall+i))
				decision, err := claim(b.Context(), doc, key)
				if err != nil || decision.Verdict != coupon.Granted {
					failed <- fmt.Errorf("%+v: %w", decision, err)
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(started)
	close(failed)
	for err := range failed {
		require.NoError(b, err)
	}
	require.NoError(b, stock.client.Unlink(b.Context(), allKeys(doc)...).Err())
	return took
}

func (b bundle) claimDirectly(ctx context.Context, doc coupon.Document, key coupon.Key) (coupon.Decision, error) {
	decisions, err := b.Claim(ctx, doc.Campaign, doc.Epoch, []coupon.Key{key})
	if err != nil {
		return coupon.Decision{}, err
	}
	return decisions[0], nil
}

// coalescer is the least that "take what is queued, no timer" needs.
type coalescer struct {
	stock *Stock
	queue chan ticket
	group sync.WaitGroup
	pool  sync.Pool
}

type ticket struct {
	doc    coupon.Document
	key    coupon.Key
	answer chan ticketAnswer
}

type ticketAnswer struct {
	decision coupon.Decision
	err      error
}

func newCoalescer(stock *Stock) *coalescer {
	c := &coalescer{stock: stock, queue: make(chan ticket, 8192)}
	c.pool.New = func() any { return make(chan ticketAnswer, 1) }
	for range workers {
		c.group.Go(c.work)
	}
	return c
}

func (c *coalescer) stop() {
	close(c.queue)
	c.group.Wait()
}

func (c *coalescer) claim(_ context.Context, doc coupon.Document, key coupon.Key) (coupon.Decision, error) {
	answer := c.pool.Get().(chan ticketAnswer)
	defer c.pool.Put(answer)
	c.queue <- ticket{doc: doc, key: key, answer: answer}
	a := <-answer
	return a.decision, a.err
}

func (c *coalescer) work() {
	tickets := make([]ticket, 0, coalesceTo)
	keys := make([]coupon.Key, 0, coalesceTo)
	for first := range c.queue {
		tickets = append(tickets[:0], first)
		tickets = c.more(tickets)
		keys = keys[:0]
		for _, t := range tickets {
			keys = append(keys, t.key)
		}
		decisions, err := c.stock.Claim(context.Background(), first.doc.Campaign, first.doc.Epoch, keys)
		for i, t := range tickets {
			if err != nil {
				t.answer <- ticketAnswer{err: err}
				continue
			}
			t.answer <- ticketAnswer{decision: decisions[i]}
		}
	}
}

func (c *coalescer) more(tickets []ticket) []ticket {
	for len(tickets) < coalesceTo {
		select {
		case t, open := <-c.queue:
			if !open {
				return tickets
			}
			tickets = append(tickets, t)
		default:
			return tickets
		}
	}
	return tickets
}

// BenchmarkClaimAll is what claims and their forgetting cost Redis as they scatter over campaigns, 150 in a round trip.
func BenchmarkClaimAll(b *testing.B) {
	const trip, trips = 150, 200
	for _, campaigns := range []int{1, 50, trip} {
		b.Run(fmt.Sprintf("campaigns=%d", campaigns), func(b *testing.B) {
			stock := connect(b, testenv.PrivateRedis(b, "--appendonly", "yes").URL)
			var claiming, forgetting time.Duration
			for b.Loop() {
				batches := make([]coupon.Batch, campaigns)
				for i := range batches {
					doc := newDocument(trip * trips)
					var err error
					doc.Seal, err = stock.Seal(b.Context(), doc.Campaign)
					require.NoError(b, err)
					batches[i].EpochRef = refOf(stock.start(b, doc))
				}
				for n := range trips {
					for i := range batches {
						batches[i].Keys = crowd(fmt.Sprintf("9f1c6f0e-2b7d-4c55-%d-", n), trip/campaigns)
					}
					started := stock.cpu(b)
					for _, decided := range stock.ClaimAll(b.Context(), batches) {
						require.NoError(b, decided.Err)
						require.Equal(b, coupon.Granted, decided.Decisions[0].Verdict)
					}
					claimed := stock.cpu(b)
					require.NoError(b, stock.ForgetAll(b.Context(), batches))
					claiming += claimed - started
					forgetting += stock.cpu(b) - claimed
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(claiming.Microseconds())/float64(trips*trip*b.N), "claim-cpu-µs")
			b.ReportMetric(float64(forgetting.Microseconds())/float64(trips*trip*b.N), "forget-cpu-µs")
		})
	}
}

// BenchmarkMemory is what one claim costs Redis, with user ids as long as a UUID: granted and not yet in the log, and
// after.
func BenchmarkMemory(b *testing.B) {
	const claims = 100_000
	for b.Loop() {
		stock := connect(b, testenv.PrivateRedis(b).URL)
		doc := stock.start(b, newDocument(claims))
		keys := crowd("9f1c6f0e-2b7d-4c55-8a3e-", claims)
		for i := range keys {
			keys[i].User = fmt.Sprintf("9f1c6f0e-2b7d-4c55-8a3e-%012x", i*2654435761)
			require.Len(b, keys[i].User, 36)
		}
		empty := stock.usedMemory(b)
		for batch := 0; batch < claims; batch += coalesceTo {
			stock.claimAll(b, doc, keys[batch:min(batch+coalesceTo, claims)]...)
		}
		pending := stock.usedMemory(b)
		require.NoError(b, stock.Forget(b.Context(), doc.Campaign, doc.Epoch, keys))
		settled := stock.usedMemory(b)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(pending-empty)/claims, "B/pending")
		b.ReportMetric(float64(settled-empty)/claims, "B/settled")
	}
}

// usedMemory reads used_memory once it stands still: a hash table that grows is two tables for a while.
func (b bundle) usedMemory(tb testing.TB) int64 {
	tb.Helper()
	var last int64
	same := 0
	for same < 20 {
		memory, err := info(tb.Context(), b.client, "memory")
		require.NoError(tb, err)
		used, err := strconv.ParseInt(strings.TrimSpace(memory["used_memory"]), 10, 64)
		require.NoError(tb, err)
		same++
		if diff := used - last; diff > 64<<10 || diff < -(64<<10) {
			same = 0
		}
		last = used
		<-time.After(25 * time.Millisecond)
	}
	return last
}
