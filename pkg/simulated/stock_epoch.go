package simulated

import (
	"context"
	"fmt"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

const discardBack = 8 // epochs

// Seal returns the replication id.
func (s *Stock) Seal(ctx context.Context, campaign string) (string, error) {
	return step(ctx, s, "seal "+campaign, func() (string, error) { return s.id, nil })
}

// Prepare makes the keys of an epoch, with no members: prepare.lua.
func (s *Stock) Prepare(ctx context.Context, doc coupon.Document) error {
	return s.change(ctx, "prepare", refOf(doc), func(c *claimState, k *epochKeys) error {
		if c.live() >= doc.Epoch {
			return redisstock.ErrOtherEpoch
		}
		k.counted, k.count = true, doc.Lo-1
		clear(k.users)
		clear(k.serials)
		clear(k.pending)
		return nil
	})
}

// Load adds claims of earlier epochs to a prepared one: load.lua.
func (s *Stock) Load(ctx context.Context, ref coupon.EpochRef, claims []coupon.Claim, mark coupon.Mark) error {
	if len(claims) == 0 {
		return nil
	}
	return s.change(ctx, "load", ref, func(c *claimState, k *epochKeys) error {
		if c.live() >= ref.Epoch {
			return redisstock.ErrOtherEpoch
		}
		if !k.counted {
			return redisstock.ErrNotLoaded
		}
		for _, claim := range claims {
			key := bare(claim.Key)
			k.users[key] = true
			if _, known := k.serials[key]; !known || mark != coupon.MarkCarried {
				k.serials[key] = stored{serial: claim.Serial, at: claim.ClaimedAt.UnixMilli(), mark: mark}
			}
		}
		return nil
	})
}

// Loaded counts the members of an epoch that is being loaded.
func (s *Stock) Loaded(ctx context.Context, ref coupon.EpochRef) (members int64, err error) {
	return onKeys(ctx, s, "loaded", ref, func(_ *claimState, k *epochKeys) (int64, error) {
		if !k.counted || len(k.users) != len(k.serials) {
			return 0, redisstock.ErrNotLoaded
		}
		return int64(len(k.users)), nil
	})
}

// Open lets a loaded epoch grant: open.lua.
func (s *Stock) Open(ctx context.Context, doc coupon.Document) error {
	return s.change(ctx, "open", refOf(doc), func(c *claimState, k *epochKeys) error {
		switch {
		case doc.Seal != "" && doc.Seal != s.id:
			return redisstock.ErrUnsealed
		case c.live() > doc.Epoch || c.fenced(doc.Epoch):
			return redisstock.ErrOtherEpoch
		case c.live() == doc.Epoch && c.document.Version >= doc.Version:
			return nil
		case c.live() == doc.Epoch:
			_, err := s.pushed(c, k, doc)
			return err
		case !k.untouched(doc.Lo, doc.Base):
			return redisstock.ErrNotLoaded
		}
		c.document = &doc
		return nil
	})
}

// Push brings a newer document to an open epoch: push.lua.
func (s *Stock) Push(ctx context.Context, doc coupon.Document) (coupon.Pushed, error) {
	return onKeys(ctx, s, "push", refOf(doc), func(c *claimState, k *epochKeys) (coupon.Pushed, error) {
		return s.pushed(c, k, doc)
	})
}

func (r *redisState) pushed(c *claimState, k *epochKeys, doc coupon.Document) (coupon.Pushed, error) {
	d := c.document
	switch {
	case d == nil:
		return coupon.Pushed{}, redisstock.ErrMissing
	case d.Epoch != doc.Epoch || d.State == coupon.DocumentFenced:
		return coupon.Pushed{Version: d.Version, Hi: d.Hi, Last: k.count}, redisstock.ErrOtherEpoch
	case !k.counted:
		return coupon.Pushed{}, redisstock.ErrMissing
	case doc.Seal != "" && doc.Seal != r.id:
		return coupon.Pushed{Version: d.Version, Hi: d.Hi, Last: k.count}, redisstock.ErrUnsealed
	}
	if d.Version < doc.Version {
		if doc.Hi > d.Hi || doc.Hi >= k.count {
			d.Hi = doc.Hi
		}
		d.Version, d.State, d.PerUserLimit = doc.Version, doc.State, doc.PerUserLimit
		d.OpensAt, d.ClosesAt = doc.OpensAt, doc.ClosesAt
	}
	return coupon.Pushed{Version: d.Version, Hi: d.Hi, Last: k.count}, nil
}

// Fence ends the grants of an epoch: fence.lua.
func (s *Stock) Fence(ctx context.Context, ref coupon.EpochRef) (fenced bool, err error) {
	return onKeys(ctx, s, "fence", ref, func(c *claimState, _ *epochKeys) (bool, error) {
		if c.live() != ref.Epoch {
			return false, nil
		}
		c.document.State = coupon.DocumentFenced
		return true, nil
	})
}

func (c *claimState) fenced(epoch int64) bool {
	return c.live() == epoch && c.document.State == coupon.DocumentFenced
}

// Discard takes the keys of the epochs before one.
func (s *Stock) Discard(ctx context.Context, campaign string, before int64) error {
	return s.change(ctx, "discard", coupon.EpochRef{Campaign: campaign, Epoch: before}, func(c *claimState, _ *epochKeys) error {
		for epoch := before - discardBack; epoch < before; epoch++ {
			delete(c.epochs, epoch)
		}
		return nil
	})
}

// change is onKeys for what returns nothing.
func (s *Stock) change(ctx context.Context, what string, ref coupon.EpochRef, f func(*claimState, *epochKeys) error) error {
	_, err := onKeys(ctx, s, what, ref, func(c *claimState, k *epochKeys) (struct{}, error) { return struct{}{}, f(c, k) })
	return err
}

// onKeys runs f on the keys of one epoch as one script. An error of f is a refusal, which changed nothing.
func onKeys[T any](ctx context.Context, s *Stock, what string, ref coupon.EpochRef, f func(*claimState, *epochKeys) (T, error)) (T, error) {
	return step(ctx, s, what+" "+ref.Campaign, func() (T, error) {
		value, err := f(s.keys(ref))
		if err != nil {
			return value, coupon.Unavailable(fmt.Sprintf("%s epoch %d of %s", what, ref.Epoch, ref.Campaign), err)
		}
		return value, nil
	})
}

func refOf(doc coupon.Document) coupon.EpochRef {
	return coupon.EpochRef{Campaign: doc.Campaign, Epoch: doc.Epoch}
}
