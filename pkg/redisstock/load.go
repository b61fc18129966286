package redisstock

import (
	"context"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// discardBack is how many epochs back Discard looks: abandoned attempts at loading leave keys under numbers of their own.
const discardBack = 8

// Load adds claims of earlier epochs to a prepared epoch, all with one mark: coupon.MarkCarried, or coupon.MarkIssued for
// rows. A row replaces a carried claim of the same user and n, never the other way round, so pages may overlap and
// be repeated in any order. It goes in calls of at most 1000 claims. Refused with ErrOtherEpoch when the epoch or a later
// one is open, since its keys may hold grants, and with ErrNotLoaded when the keys are not those of Prepare.
func (s *Stock) Load(ctx context.Context, ref coupon.EpochRef, claims []coupon.Claim, mark coupon.Mark) error {
	k := keysOf(ref.Campaign, ref.Epoch)
	keys := []string{k.meta, k.users, k.count, k.serials}
	for page := range slices.Chunk(claims, maxBatch) {
		args := make([]any, 0, 2+2*len(page))
		args = append(args, ref.Epoch, string(rune(mark)))
		for _, claim := range page {
			args = append(args, member(claim.Key), formatStored(claim, mark))
		}
		answer, err := s.load.Run(ctx, s.client, keys, args...).Text()
		if err != nil {
			return coupon.Unavailable("load claims into Redis", err)
		}
		if err := refusal("load", ref, answer); err != nil {
			return err
		}
	}
	return nil
}

// formatStored is what parseStored reads.
func formatStored(claim coupon.Claim, mark coupon.Mark) string {
	text := make([]byte, 0, 40)
	text = strconv.AppendInt(text, claim.Serial, 10)
	text = append(text, '|')
	text = strconv.AppendInt(text, claim.ClaimedAt.UnixMilli(), 10)
	return string(append(text, '|', byte(mark)))
}

// Loaded counts the members of an epoch that is being loaded: the base of its document. ErrNotLoaded when the keys are
// gone or do not agree.
func (s *Stock) Loaded(ctx context.Context, ref coupon.EpochRef) (members int64, err error) {
	k := keysOf(ref.Campaign, ref.Epoch)
	var (
		count          *redis.StringCmd
		users, serials *redis.IntCmd
	)
	_, _ = s.client.TxPipelined(ctx, func(tx redis.Pipeliner) error { // each command carries its own error
		count = tx.Get(ctx, k.count)
		users = tx.SCard(ctx, k.users)
		serials = tx.HLen(ctx, k.serials)
		return nil
	})
	whole := true
	for _, err := range []error{count.Err(), users.Err(), serials.Err()} {
		if broken(err) != nil {
			return 0, coupon.Unavailable("count loaded claims in Redis", err)
		}
		whole = whole && err == nil
	}
	if !whole || users.Val() != serials.Val() {
		return 0, refused("load", ref, ErrNotLoaded)
	}
	return users.Val(), nil
}

// Discard takes away the keys of the epochs before one, their pending claims with them: a closed epoch can promise
// nothing. It touches neither that epoch nor the document, and may be repeated. One epoch goes at a time, its memory
// being freed behind the scenes, so that no claim waits.
func (s *Stock) Discard(ctx context.Context, campaign string, before int64) error {
	for epoch := max(1, before-discardBack); epoch < before; epoch++ {
		k := keysOf(campaign, epoch)
		if err := s.client.Unlink(ctx, k.users, k.count, k.serials, k.pending).Err(); err != nil {
			return coupon.Unavailable("discard an old epoch in Redis", err)
		}
	}
	return nil
}
