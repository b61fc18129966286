package apply

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// bench is a Service over stores that do as they are told; by default all goes well and every user is granted.
type bench struct {
	service *Service

	claim    func(keys []coupon.Key) ([]coupon.Decision, error)
	publish  func(coupon.Claim) error
	standing func() (coupon.Standing, error)
	row      func(coupon.Key) (coupon.Coupon, bool, error)
	failure  func(coupon.Key) (coupon.FailureStatus, bool, error)
	direct   func([]coupon.Claim) ([]coupon.Settled, error)
	held     func(coupon.Key) (coupon.Decision, error)
	find     func(id string) (coupon.Campaign, error)
	holders  func() ([]coupon.Key, error)

	mu        sync.Mutex
	campaign  coupon.Campaign // what the view reads
	viewErr   error
	serial    int64
	published []coupon.Claim
	forgotten []coupon.Key
}

const campaignID = "winter"

func setup(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{
		publish:  func(coupon.Claim) error { return nil },
		standing: func() (coupon.Standing, error) { return coupon.Standing{Epoch: 1, State: coupon.EpochActive}, nil },
		row:      func(coupon.Key) (coupon.Coupon, bool, error) { return coupon.Coupon{}, false, nil },
		failure:  func(coupon.Key) (coupon.FailureStatus, bool, error) { return "", false, nil },
		held:     func(coupon.Key) (coupon.Decision, error) { return coupon.Decision{}, nil },
		find:     func(string) (coupon.Campaign, error) { return coupon.Campaign{}, errCampaignNotFound },
		holders:  func() ([]coupon.Key, error) { return nil, errAway },
	}
	b.claim, b.direct = b.grantAll, b.issueAll
	b.campaign = coupon.Campaign{
		ID: campaignID, Limit: 1000, PerUserLimit: 2, Status: coupon.CampaignActive, Epoch: 1,
		EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, Lo: 1, Hi: 1000, HiWanted: 1000,
	}
	view := NewView(b, slog.New(slog.DiscardHandler))
	require.NoError(tb, view.Refresh(tb.Context()))
	b.service = NewService(view, b, b, b, Limits{Queue: 1000, Batch: 128}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	return b
}

func (b *bench) View(context.Context) ([]coupon.Campaign, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return []coupon.Campaign{b.campaign}, b.viewErr
}

// see has the service's view read a changed campaign.
func (b *bench) see(t *testing.T, change func(c *coupon.Campaign)) {
	t.Helper()
	b.mu.Lock()
	change(&b.campaign)
	b.mu.Unlock()
	require.NoError(t, b.service.view.Refresh(t.Context()))
}

func (b *bench) ClaimAll(_ context.Context, batches []coupon.Batch) []coupon.Decided {
	decided := make([]coupon.Decided, len(batches))
	for i, batch := range batches {
		decided[i].Decisions, decided[i].Err = b.claim(batch.Keys)
	}
	return decided
}

func (b *bench) Holders(context.Context, coupon.EpochRef, int64, uint64) ([]coupon.Key, int64, uint64, error) {
	page, err := b.holders()
	return page, int64(len(page)), 0, err
}

func (b *bench) grantAll(keys []coupon.Key) ([]coupon.Decision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	decisions := make([]coupon.Decision, len(keys))
	for i, k := range keys {
		b.serial++
		decisions[i] = granted(k, b.serial)
	}
	return decisions, nil
}

func (b *bench) Held(_ context.Context, _ string, _ int64, keys []coupon.Key) ([]coupon.Decision, error) {
	decisions := make([]coupon.Decision, len(keys))
	for i, k := range keys {
		var err error
		if decisions[i], err = b.held(k); err != nil {
			return nil, err
		}
	}
	return decisions, nil
}

func (b *bench) ForgetAll(_ context.Context, batches []coupon.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, batch := range batches {
		b.forgotten = append(b.forgotten, batch.Keys...)
	}
	return nil
}

func (b *bench) Publish(c coupon.Claim, _ time.Time, done func(error)) {
	b.mu.Lock()
	b.published = append(b.published, c)
	b.mu.Unlock()
	done(b.publish(c))
}

func (b *bench) Standings(context.Context, []string) (map[string]coupon.Standing, error) {
	s, err := b.standing()
	return map[string]coupon.Standing{campaignID: s}, err
}

func (b *bench) CouponsOf(_ context.Context, _ string, keys []coupon.Key) ([]coupon.Coupon, error) {
	var rows []coupon.Coupon
	for _, k := range keys {
		row, found, err := b.row(k)
		if err != nil {
			return nil, err
		}
		if found {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (b *bench) FailuresOf(_ context.Context, _ string, keys []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error) {
	failures := map[coupon.Key]coupon.FailureStatus{}
	for _, k := range keys {
		status, found, err := b.failure(k)
		if err != nil {
			return nil, err
		}
		if found {
			failures[k] = status
		}
	}
	return failures, nil
}

func (b *bench) Direct(_ context.Context, _ string, _ int64, claims []coupon.Claim) ([]coupon.Settled, error) {
	return b.direct(claims)
}

// issueAll makes a row of every claim, and gives a wish the next serial.
func (b *bench) issueAll(claims []coupon.Claim) ([]coupon.Settled, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	settled := make([]coupon.Settled, len(claims))
	for i, c := range claims {
		if c.Serial == 0 {
			b.serial++
			c.Serial = b.serial
		}
		settled[i] = coupon.Settled{Verdict: coupon.Granted, Status: coupon.StatusIssued, Coupon: &coupon.Coupon{Claim: c, Code: "X"}}
	}
	return settled, nil
}

func (b *bench) Campaign(_ context.Context, id string) (coupon.Campaign, error) { return b.find(id) }

func key(user string) coupon.Key { return coupon.Key{Campaign: campaignID, User: user, N: 1} }

func granted(k coupon.Key, serial int64) coupon.Decision {
	return coupon.Decision{
		Verdict: coupon.Granted, Mark: coupon.MarkReserved,
		Claim: coupon.Claim{Key: k, Epoch: 1, Serial: serial, ClaimedAt: time.Unix(1, 0)},
	}
}

func one(d coupon.Decision) func([]coupon.Key) ([]coupon.Decision, error) {
	return func([]coupon.Key) ([]coupon.Decision, error) { return []coupon.Decision{d}, nil }
}

func settledAs(s coupon.Settled) func([]coupon.Claim) ([]coupon.Settled, error) {
	return func(claims []coupon.Claim) ([]coupon.Settled, error) {
		return slices.Repeat([]coupon.Settled{s}, len(claims)), nil
	}
}
