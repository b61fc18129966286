package redisstock

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// scanStep is about how many elements one step of a scan visits: few enough that no claim waits behind it.
const scanStep = 500

// Entry is what Redis remembers of one claim, whole or torn.
type Entry struct {
	Claim   coupon.Claim // the key alone, unless Stored
	Mark    coupon.Mark  // of Stored
	Member  bool         // among the users
	Stored  bool         // with a serial that can be read
	Pending bool         // not acknowledged by the log
}

// ScanSerials returns some claims of an epoch that have a serial, and the cursor of the next step: 0 begins, and 0 ends.
// Every claim that is there from the first step to the last is returned, some of them twice. Whether each is a member
// and pending is read after its serial: a claim that is not pending had been acknowledged by then, or is lost.
func (s *Stock) ScanSerials(ctx context.Context, ref coupon.EpochRef, cursor uint64) ([]Entry, uint64, error) {
	k := keysOf(ref.Campaign, ref.Epoch)
	found, next, err := s.client.HScan(ctx, k.serials, cursor, "", scanStep).Result()
	if err := broken(err); err != nil {
		return nil, 0, coupon.Unavailable("scan serials in Redis", err)
	}
	names, stored := make([]string, len(found)/2), make([]any, len(found)/2)
	for i := range names {
		names[i], stored[i] = found[2*i], found[2*i+1]
	}
	entries, err := s.complete(ctx, ref, names, stored)
	return entries, next, err
}

// ScanTorn is a scan as ScanSerials is, over the users and the pending claims one after the other; it returns only those
// that have no serial to be read.
func (s *Stock) ScanTorn(ctx context.Context, ref coupon.EpochRef) (torn []Entry, err error) {
	k := keysOf(ref.Campaign, ref.Epoch)
	for _, scan := range []func(cursor uint64) ([]string, uint64, error){
		func(cursor uint64) ([]string, uint64, error) {
			return s.client.SScan(ctx, k.users, cursor, "", scanStep).Result()
		},
		func(cursor uint64) ([]string, uint64, error) {
			return everySecond(s.client.ZScan(ctx, k.pending, cursor, "", scanStep).Result())
		},
	} {
		found, err := s.scanTorn(ctx, ref, scan)
		if err != nil {
			return nil, err
		}
		torn = append(torn, found...)
	}
	return torn, nil
}

func (s *Stock) scanTorn(
	ctx context.Context, ref coupon.EpochRef, scan func(cursor uint64) ([]string, uint64, error),
) (torn []Entry, err error) {
	for cursor := uint64(0); ; {
		names, next, err := scan(cursor)
		if err := broken(err); err != nil {
			return nil, coupon.Unavailable("scan claims in Redis", err)
		}
		entries, err := s.complete(ctx, ref, names, nil)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Stored {
				torn = append(torn, e)
			}
		}
		if cursor = next; cursor == 0 {
			return torn, nil
		}
	}
}

// everySecond leaves the scores of a ZSCAN out.
func everySecond(found []string, next uint64, err error) ([]string, uint64, error) {
	names := make([]string, 0, len(found)/2)
	for i := 0; i < len(found); i += 2 {
		names = append(names, found[i])
	}
	return names, next, err
}

// Entries returns what Redis remembers of keys in an epoch, in their order. They must be few hundred at most.
func (s *Stock) Entries(ctx context.Context, ref coupon.EpochRef, keys []coupon.Key) ([]Entry, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = member(key)
	}
	return s.complete(ctx, ref, names, nil)
}

// complete reads the rest of what there is of some claims; stored is nil where their serials are to be read too.
func (s *Stock) complete(ctx context.Context, ref coupon.EpochRef, names []string, stored []any) ([]Entry, error) {
	if len(names) == 0 {
		return nil, nil
	}
	k := keysOf(ref.Campaign, ref.Epoch)
	users := make([]any, len(names))
	for i, name := range names {
		users[i] = name
	}
	var (
		values  *redis.SliceCmd
		members *redis.BoolSliceCmd
	)
	scores := make([]*redis.FloatCmd, len(names))
	_, _ = s.client.TxPipelined(ctx, func(tx redis.Pipeliner) error { // each command carries its own error
		if stored == nil {
			values = tx.HMGet(ctx, k.serials, names...)
		}
		members = tx.SMIsMember(ctx, k.users, users...)
		for i, name := range names {
			scores[i] = tx.ZScore(ctx, k.pending, name)
		}
		return nil
	})
	errs := []error{members.Err()}
	if values != nil {
		errs, stored = append(errs, values.Err()), values.Val()
	}
	for _, score := range scores {
		errs = append(errs, score.Err())
	}
	for _, err := range errs {
		if err := broken(err); err != nil {
			return nil, coupon.Unavailable("read claims in Redis", err)
		}
	}
	entries := make([]Entry, len(names))
	for i, name := range names {
		entries[i] = entry(ref, name, at(stored, i))
		entries[i].Member = at(members.Val(), i)
		entries[i].Pending = scores[i].Err() == nil
	}
	return entries, nil
}

// at is list[i], or nothing where the answer was another than a list of them.
func at[T any](list []T, i int) (value T) {
	if i < len(list) {
		return list[i]
	}
	return value
}

func entry(ref coupon.EpochRef, name string, stored any) Entry {
	key, ok := keyOf(ref.Campaign, name)
	if !ok {
		key = coupon.Key{Campaign: ref.Campaign, User: name}
	}
	e := Entry{Claim: coupon.Claim{Key: key, Epoch: ref.Epoch}}
	text, _ := stored.(string)
	var serial int64
	var claimedAt time.Time
	if serial, claimedAt, e.Mark, e.Stored = parseStored(text); e.Stored {
		e.Claim.Serial, e.Claim.ClaimedAt = serial, claimedAt
	}
	return e
}
