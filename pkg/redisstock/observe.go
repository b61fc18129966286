package redisstock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Levels returns how far each campaign is in its own epoch, in one round trip to each master and in the order given. A
// campaign whose keys could not be read has a level that is not Known, and the error joins why: the other levels hold all the
// same, as when one shard of a cluster is away.
func (s *Stock) Levels(ctx context.Context, campaigns []*coupon.Campaign) ([]coupon.Level, error) {
	if len(campaigns) == 0 {
		return nil, nil
	}
	commands := make([]levelCommands, len(campaigns))
	var all sync.WaitGroup
	for master, places := range s.byMaster(ctx, len(campaigns), func(i int) string { return metaKey(campaigns[i].ID) }) {
		all.Go(func() {
			_, _ = master.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each command carries its own error
				for _, i := range places {
					commands[i] = askLevel(ctx, pipe, keysOf(campaigns[i].ID, campaigns[i].Epoch))
				}
				return nil
			})
		})
	}
	all.Wait()
	levels := make([]coupon.Level, len(campaigns))
	var failed []error
	for i, c := range commands {
		var err error
		if levels[i], err = c.level(); err != nil {
			failed = append(failed, fmt.Errorf("campaign %s: %w", campaigns[i].ID, err))
		}
	}
	if len(failed) > 0 {
		return levels, coupon.Unavailable("count claims in Redis", errors.Join(failed...))
	}
	return levels, nil
}

// levelCommands are what is asked of one campaign.
type levelCommands struct {
	last    *redis.StringCmd
	meta    *redis.SliceCmd
	pending *redis.IntCmd
	oldest  *redis.ZSliceCmd
}

func askLevel(ctx context.Context, pipe redis.Pipeliner, k epochKeys) levelCommands {
	return levelCommands{
		last:    pipe.Get(ctx, k.count),
		meta:    pipe.HMGet(ctx, k.meta, "version", "epoch"),
		pending: pipe.ZCard(ctx, k.pending),
		oldest:  pipe.ZRangeWithScores(ctx, k.pending, 0, 0),
	}
}

// level returns the zero level with the first error: what fails for one command of a pipeline fails for the next ones too.
func (c levelCommands) level() (coupon.Level, error) {
	last, lastErr := c.last.Int64()
	err := cmp.Or(broken(lastErr), broken(c.meta.Err()), broken(c.pending.Err()), broken(c.oldest.Err()))
	if err != nil {
		return coupon.Level{}, err
	}
	level := coupon.Level{Last: last, Pending: c.pending.Val(), Known: lastErr == nil && last >= 0}
	if meta := c.meta.Val(); len(meta) == 2 {
		level.Version, level.Epoch = number(meta[0]), number(meta[1])
	}
	if oldest := c.oldest.Val(); len(oldest) > 0 {
		level.OldestDue = fromMilli(int64(oldest[0].Score))
	}
	return level, nil
}

// number reads a field of a document: 0 when it is missing or no number.
func number(field any) int64 {
	text, _ := field.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// Held returns what Redis remembers of each key in its open epoch: a decision with the verdict Held, or the zero Decision
// where there is no such claim. Broken says that this Redis cannot tell: of all where the keys do not agree, and of those it
// does not know where it is not the one that owns the epoch. Nothing is changed.
func (s *Stock) Held(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) ([]coupon.Decision, error) {
	const what = "read claims in Redis"
	k := keysOf(campaign, epoch)
	decisions := make([]coupon.Decision, 0, len(keys))
	for batch := range slices.Chunk(keys, maxBatch) {
		reply, err := s.run(ctx, what, s.held, []string{k.meta, k.users, k.count, k.serials}, members(batch, epoch))
		if err != nil {
			return nil, err
		}
		if len(reply) != len(batch) {
			return nil, badReply(what, reply)
		}
		for i, slot := range reply {
			key := coupon.Key{Campaign: campaign, User: batch[i].User, N: batch[i].N}
			decisions = append(decisions, remembered(slot, coupon.Claim{Key: key, Epoch: epoch}))
		}
	}
	return decisions, nil
}

func remembered(slot any, claim coupon.Claim) coupon.Decision {
	switch slot := slot.(type) {
	case string:
		return held(slot, claim)
	case int64:
		if slot == 0 {
			return coupon.Decision{}
		}
	}
	return coupon.Decision{Verdict: coupon.Broken}
}

// broken returns err unless it only says that a key is not there, or not what it should be.
func broken(err error) error {
	var notNumber *strconv.NumError
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE") || errors.As(err, &notNumber) {
		return nil
	}
	return err
}

// Snapshot is the claim state of one epoch at one instant, for comparing it with MySQL. Of a key that is not what it
// should be, and of a missing count, the number is -1.
type Snapshot struct {
	Exists   bool // the campaign has a document, of whatever epoch
	Document coupon.Document
	Count    int64 // the last serial given out
	Members  int64
	Serials  int64
	Pending  int64
}

// Snapshot reads a campaign's document and the keys of an epoch at one instant.
func (s *Stock) Snapshot(ctx context.Context, campaign string, epoch int64) (Snapshot, error) {
	const what = "read claim state in Redis"
	k := keysOf(campaign, epoch)
	var (
		meta                      *redis.MapStringStringCmd
		count                     *redis.StringCmd
		members, serials, pending *redis.IntCmd
	)
	_, _ = s.client.TxPipelined(ctx, func(tx redis.Pipeliner) error { // each command carries its own error
		meta = tx.HGetAll(ctx, k.meta)
		count = tx.Get(ctx, k.count)
		members = tx.SCard(ctx, k.users)
		serials = tx.HLen(ctx, k.serials)
		pending = tx.ZCard(ctx, k.pending)
		return nil
	})
	last, lastErr := count.Int64()
	err := errors.Join(meta.Err(), broken(lastErr), broken(members.Err()), broken(serials.Err()), broken(pending.Err()))
	if err != nil {
		return Snapshot{}, coupon.Unavailable(what, err)
	}
	snapshot := Snapshot{
		Exists: len(meta.Val()) > 0, Count: orMinusOne(last, lastErr),
		Members: orMinusOne(members.Result()), Serials: orMinusOne(serials.Result()), Pending: orMinusOne(pending.Result()),
	}
	if snapshot.Exists {
		snapshot.Document, err = document(campaign, meta.Val())
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("%s: %w", what, err)
	}
	return snapshot, nil
}

func orMinusOne(n int64, err error) int64 {
	if err != nil {
		return -1
	}
	return n
}

func document(campaign string, meta map[string]string) (coupon.Document, error) {
	var errs []error
	number := func(field string) int64 {
		n, err := strconv.ParseInt(meta[field], 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("field %s of %s: %w", field, metaKey(campaign), err))
		}
		return n
	}
	doc := coupon.Document{
		Campaign:     campaign,
		Version:      number("version"),
		State:        coupon.DocumentState(meta["state"]),
		Epoch:        number("epoch"),
		Hi:           number("hi"),
		Lo:           number("lo"),
		Base:         number("base"),
		Seal:         meta["seal"],
		OpensAt:      fromMilli(number("opens")),
		ClosesAt:     fromMilli(number("closes")),
		PerUserLimit: int(number("per_user")),
	}
	return doc, errors.Join(errs...)
}
