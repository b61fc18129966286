package simulation

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/simulated"
)

// bug is a mistake that is planted in what the programs work with: each breaks one rule that the promise rests on.
type bug string

const (
	none           bug = ""
	noSeal         bug = "any Redis may grant"
	viewConfirms   bug = "the view in memory confirms, not a read"
	noDrain        bug = "an epoch is closed before its log is drained"
	lateFence      bug = "an epoch is fenced after its log's end is learned"
	timeoutIsAck   bug = "a publish that times out is taken for an ack"
	forgetEarly    bug = "pending is dropped before the log has the claim"
	soldOutForEver bug = "sold out is never asked again"
	noCarriedKeys  bug = "carried claims are not loaded"
	noRowKeys      bug = "rows are not loaded"
	offsetFirst    bug = "the offset is committed before the rows are"
	swallowedError bug = "an issue that failed is taken for one that did not"
	serialsAgain   bug = "an epoch begins with serials of the one before"
	soldTwice      bug = "the places of failed events are sold again"
	noEpochCheck   bug = "claims of closed epochs are issued"
)

// flaws are those that the record itself has.
func (b bug) flaws() simulated.Flaws {
	return simulated.Flaws{SerialsAgain: b == serialsAgain, SoldTwice: b == soldTwice, NoEpochCheck: b == noEpochCheck}
}

type stock struct {
	*simulated.Stock
	planted bug

	mu      sync.Mutex
	soldOut bool
}

func (s *stock) Seal(ctx context.Context, campaign string) (string, error) {
	if s.planted == noSeal {
		return "", nil
	}
	return s.Stock.Seal(ctx, campaign)
}

func (s *stock) ClaimAll(ctx context.Context, batches []coupon.Batch) []coupon.Decided {
	decided := s.Stock.ClaimAll(ctx, batches)
	for i, b := range batches {
		if decided[i].Err != nil {
			continue
		}
		if s.planted == forgetEarly {
			_ = s.Forget(ctx, b.Campaign, b.Epoch, b.Keys)
		}
		if s.planted == soldOutForEver {
			s.remember(decided[i].Decisions)
		}
	}
	return decided
}

// remember turns every answer after the first sold_out into one.
func (s *stock) remember(decisions []coupon.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range decisions {
		if s.soldOut = s.soldOut || decisions[i].Verdict == coupon.RefusedSoldOut; s.soldOut {
			decisions[i] = coupon.Decision{Verdict: coupon.RefusedSoldOut}
		}
	}
}

type log struct {
	*simulated.Log
	planted bug
}

func (l *log) Publish(claim coupon.Claim, deadline time.Time, done func(error)) {
	l.Log.Publish(claim, deadline, func(err error) {
		if l.planted == timeoutIsAck {
			err = nil
		}
		done(err)
	})
}

func (l *log) Barrier(ctx context.Context, id string) ([]int64, error) {
	ends, err := l.Log.Barrier(ctx, id)
	if l.planted == noDrain {
		clear(ends)
	}
	return ends, err
}

type record struct {
	*simulated.Record
	planted bug

	mu     sync.Mutex
	view   map[string]coupon.Standing // as the program saw it last
	viewed time.Time                  // when it asked for that
}

func (r *record) View(ctx context.Context) ([]coupon.Campaign, error) {
	asked := time.Now()
	campaigns, err := r.Record.View(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.viewed = asked
	}
	for _, c := range campaigns {
		r.view[c.ID] = coupon.Standing{Epoch: c.Epoch, State: c.EpochState}
	}
	return campaigns, err
}

// blind reports whether the program has not heard from the record for longer than views may be old.
func (r *record) blind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.viewed) > viewsSettle
}

const viewsSettle = 2 * time.Second

func (r *record) Standings(ctx context.Context, campaigns []string) (map[string]coupon.Standing, error) {
	if r.planted != viewConfirms {
		return r.Record.Standings(ctx, campaigns)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.view), nil
}

func (r *record) BeginFence(ctx context.Context, refs []coupon.EpochRef) ([]coupon.EpochRef, error) {
	if r.planted == lateFence {
		return refs, nil
	}
	return r.Record.BeginFence(ctx, refs)
}

func (r *record) CloseEpoch(ctx context.Context, ref coupon.EpochRef, mode coupon.Mode) (coupon.Campaign, error) {
	if r.planted == lateFence {
		_, _ = r.Record.BeginFence(ctx, []coupon.EpochRef{ref})
	}
	return r.Record.CloseEpoch(ctx, ref, mode)
}

func (r *record) CarriedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, int64, error) {
	if r.planted == noCarriedKeys {
		return nil, after, nil
	}
	return r.Record.CarriedClaims(ctx, campaign, after, limit)
}

func (r *record) IssuedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error) {
	if r.planted == noRowKeys {
		return nil, nil
	}
	return r.Record.IssuedClaims(ctx, campaign, after, limit)
}
