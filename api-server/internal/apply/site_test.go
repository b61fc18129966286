package apply

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var errAway error = coupon.Unavailable("away", nil)

// condition is how a store of a site is.
type condition int

const (
	up       condition = iota
	refusing           // every call fails at once
	silent             // every call takes its whole deadline
	flaky              // a call may fail, before or after it did what it was asked for
)

// site is a Service over small models of its three stores and the consumer, each of which can be taken away. Its methods
// take no time by themselves; it is made for the fake clock of a bubble.
type site struct {
	service   *Service
	publishes sync.WaitGroup

	mu                  sync.Mutex
	redis, kafka, mysql condition
	random              *rand.Rand
	campaign            coupon.Campaign
	meta                int64 // the epoch that Redis has a document of
	claims              map[coupon.Key]coupon.Decision
	count               int64
	pending             map[coupon.Key]coupon.Claim
	log                 []coupon.Claim
	rows                map[coupon.Key]coupon.Coupon
	claimCalls          int
}

func newSite(t *testing.T, limit int64) *site {
	t.Helper()
	s := &site{
		random: rand.New(rand.NewPCG(1, 2)), meta: 1, //nolint:gosec // a test that repeats
		claims: map[coupon.Key]coupon.Decision{}, pending: map[coupon.Key]coupon.Claim{}, rows: map[coupon.Key]coupon.Coupon{},
		campaign: coupon.Campaign{
			ID: campaignID, Limit: limit, PerUserLimit: 1, Status: coupon.CampaignActive, Epoch: 1,
			EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Lo: 1, Hi: limit, HiWanted: limit, NextSerial: 1,
		},
	}
	logger := slog.New(slog.DiscardHandler)
	view := NewView(s, logger)
	require.NoError(t, view.Refresh(t.Context()))
	s.service = NewService(view, s, s, s, Limits{Queue: 8192, Batch: 128}, NewMetrics(prometheus.NewRegistry()), logger)
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	loops.Go(func() { view.Run(ctx) })
	loops.Go(func() {
		every(ctx, 20*time.Millisecond, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.mysql == up && s.kafka == up {
				s.consume()
			}
		})
	})
	t.Cleanup(func() {
		cancel()
		loops.Wait()
		s.publishes.Wait()
	})
	return s
}

func (s *site) set(redis, kafka, mysql condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redis, s.kafka, s.mysql = redis, kafka, mysql
}

// call runs do as the store's condition lets it.
func (s *site) call(ctx context.Context, store *condition, do func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch *store {
	case refusing:
		return errAway
	case silent:
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return ctx.Err()
	case flaky:
		luck := s.random.IntN(4)
		if luck != 0 {
			do()
		}
		if luck < 2 {
			return errAway
		}
		return nil
	default:
		do()
		return nil
	}
}

func (s *site) View(ctx context.Context) (all []coupon.Campaign, err error) {
	err = s.call(ctx, &s.mysql, func() { all = []coupon.Campaign{s.campaign} })
	return all, err
}

func (s *site) Campaign(ctx context.Context, _ string) (c coupon.Campaign, err error) {
	err = s.call(ctx, &s.mysql, func() { c = s.campaign })
	return c, err
}

func (s *site) ClaimAll(ctx context.Context, batches []coupon.Batch) []coupon.Decided {
	decided := make([]coupon.Decided, len(batches))
	for i, batch := range batches {
		decided[i].Err = s.call(ctx, &s.redis, func() {
			s.claimCalls++
			for _, k := range batch.Keys {
				decided[i].Decisions = append(decided[i].Decisions, s.claimOne(batch.Epoch, k))
			}
		})
	}
	return decided
}

func (s *site) claimOne(epoch int64, k coupon.Key) coupon.Decision {
	held, known := s.claims[k]
	switch {
	case known && held.Claim.Epoch == epoch:
		return held
	case s.meta != epoch:
		return coupon.Decision{Verdict: coupon.WrongEpoch}
	case s.count >= s.campaign.HiWanted:
		return coupon.Decision{Verdict: coupon.RefusedSoldOut}
	}
	s.count++
	d := coupon.Decision{Verdict: coupon.Held, Mark: coupon.MarkReserved, Claim: coupon.Claim{Key: k, Epoch: epoch, Serial: s.count}}
	s.claims[k] = d
	s.pending[k] = d.Claim
	d.Verdict = coupon.Granted
	return d
}

func (s *site) Held(context.Context, string, int64, []coupon.Key) ([]coupon.Decision, error) {
	return nil, errAway
}

func (s *site) Holders(context.Context, coupon.EpochRef, int64, uint64) ([]coupon.Key, int64, uint64, error) {
	return nil, 0, 0, errAway
}

func (s *site) ForgetAll(ctx context.Context, batches []coupon.Batch) error {
	return s.call(ctx, &s.redis, func() {
		for _, batch := range batches {
			for _, k := range batch.Keys {
				if d, ok := s.claims[k]; ok && d.Claim.Epoch == batch.Epoch {
					d.Mark = coupon.MarkAcked
					s.claims[k] = d
					delete(s.pending, k)
				}
			}
		}
	})
}

// Publish answers after a moment, or at the deadline, as the producer does that tries until then.
func (s *site) Publish(claim coupon.Claim, deadline time.Time, done func(error)) {
	s.publishes.Add(1)
	time.AfterFunc(2*time.Millisecond, func() {
		defer s.publishes.Done()
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		err := s.call(ctx, &s.kafka, func() { s.log = append(s.log, claim) })
		if err != nil {
			<-ctx.Done()
		}
		done(err)
	})
}

func (s *site) Standings(ctx context.Context, _ []string) (standings map[string]coupon.Standing, err error) {
	err = s.call(ctx, &s.mysql, func() {
		standings = map[string]coupon.Standing{campaignID: {Epoch: s.campaign.Epoch, State: s.campaign.EpochState}}
	})
	return standings, err
}

func (s *site) CouponsOf(ctx context.Context, _ string, keys []coupon.Key) (rows []coupon.Coupon, err error) {
	err = s.call(ctx, &s.mysql, func() {
		for _, k := range keys {
			if row, ok := s.rows[k]; ok {
				rows = append(rows, row)
			}
		}
	})
	return rows, err
}

func (s *site) FailuresOf(ctx context.Context, _ string, _ []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error) {
	return nil, s.call(ctx, &s.mysql, func() {})
}

func (s *site) Direct(ctx context.Context, _ string, epoch int64, claims []coupon.Claim) (settled []coupon.Settled, err error) {
	err = s.call(ctx, &s.mysql, func() {
		for _, c := range claims {
			settled = append(settled, s.settleOne(epoch, c))
		}
	})
	return settled, err
}

func (s *site) settleOne(epoch int64, c coupon.Claim) coupon.Settled {
	inSQL := s.campaign.Mode == coupon.ModeSQL
	if s.campaign.Epoch != epoch || s.campaign.EpochState != coupon.EpochActive || inSQL != (c.Serial == 0) {
		return coupon.Settled{Verdict: coupon.WrongEpoch}
	}
	if row, ok := s.rows[c.Key]; ok {
		return coupon.Settled{Verdict: coupon.Held, Status: coupon.StatusIssued, Coupon: &row}
	}
	if inSQL {
		if s.campaign.NextSerial > s.campaign.HiWanted {
			return coupon.Settled{Verdict: coupon.RefusedSoldOut}
		}
		c.Serial = s.campaign.NextSerial
		s.campaign.NextSerial++
	}
	row := coupon.Coupon{Claim: c, Status: coupon.CouponActive}
	s.rows[c.Key] = row
	return coupon.Settled{Verdict: coupon.Granted, Status: coupon.StatusIssued, Coupon: &row}
}

// consume makes rows of what the log holds, but not of closed epochs.
func (s *site) consume() {
	for _, c := range s.log {
		if _, ok := s.rows[c.Key]; !ok && c.Epoch == s.campaign.Epoch {
			s.rows[c.Key] = coupon.Coupon{Claim: c, Status: coupon.CouponActive}
		}
	}
	s.log = nil
}

// fence ends the epoch and opens the next one in a mode, as pkg/fence does: a moment passes between its steps.
func (s *site) fence(mode coupon.Mode) {
	pause := func() {
		s.mu.Unlock()
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
		s.mu.Lock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.campaign.EpochState = coupon.EpochFencing
	pause()
	s.consume()
	lo := max(s.campaign.Hi, s.campaign.NextSerial-1) + 1
	s.campaign.Epoch++
	s.campaign.Lo, s.campaign.Mode = lo, mode
	s.campaign.Hi = lo + s.campaign.Limit - int64(len(s.rows)) - 1
	s.campaign.HiWanted, s.campaign.NextSerial = s.campaign.Hi, lo
	if mode == coupon.ModeSQL {
		s.campaign.EpochState = coupon.EpochActive
		return
	}
	s.campaign.EpochState = coupon.EpochLoading
	s.claims, s.pending = map[coupon.Key]coupon.Decision{}, map[coupon.Key]coupon.Claim{}
	for k, row := range s.rows {
		claim := row.Claim
		claim.Epoch = s.campaign.Epoch
		s.claims[k] = coupon.Decision{Verdict: coupon.Held, Mark: coupon.MarkIssued, Claim: claim}
	}
	pause()
	s.campaign.EpochState = coupon.EpochActive
	pause()
	s.meta, s.count = s.campaign.Epoch, lo-1
}

// rest brings everything back and to its end, and holds every binding answer against the rows.
func (s *site) rest(t *testing.T, answers []answered) {
	t.Helper()
	require.NoError(t, s.service.Drain(t.Context()))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.pending {
		s.log = append(s.log, c)
	}
	s.consume()
	require.LessOrEqual(t, int64(len(s.rows)), s.campaign.Limit)
	serials := map[int64]bool{}
	for _, row := range s.rows {
		require.False(t, serials[row.Serial], "serial %d twice", row.Serial)
		serials[row.Serial] = true
	}
	for _, a := range answers {
		if a.status == coupon.StatusAccepted || a.status == coupon.StatusIssued {
			require.Equal(t, a.serial, s.rows[a.key].Serial, "%s was told %s", a.key.User, a.status)
		}
	}
}
