package redisstock_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/simulated"
)

// operations are drawn by their weights.
var operations = map[string]struct {
	weight int
	do     func(*harness) error
}{
	"claim":   {10, (*harness).claim},
	"held":    {3, (*harness).held},
	"forget":  {4, (*harness).forget},
	"take":    {4, (*harness).take},
	"prepare": {2, (*harness).prepare},
	"load":    {3, (*harness).load},
	"loaded":  {1, (*harness).loaded},
	"open":    {3, (*harness).open},
	"rebuild": {8, (*harness).rebuild},
	"push":    {4, (*harness).push},
	"fence":   {1, (*harness).fence},
	"look":    {4, (*harness).look},
	"levels":  {3, (*harness).levels},
	"discard": {1, (*harness).discard},
	"seal":    {1, (*harness).sealed},
	"holders": {3, (*harness).holders},
	"damage":  {2, (*harness).mishap},
}

var weighted = func() (names []string) {
	for name, o := range operations {
		names = append(names, slices.Repeat([]string{name}, o.weight)...)
	}
	slices.Sort(names) // the same draw is the same operation in every run
	return names
}()

var anyKey = rapid.Custom(func(rt *rapid.T) coupon.Key {
	user := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "1", "01", "Z"}).Draw(rt, "user")
	return coupon.Key{User: user, N: rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(rt, "n")}
})

func (h *harness) keys() []coupon.Key { return rapid.SliceOfN(anyKey, 1, 8).Draw(h.rt, "keys") }

// epoch is the open one most of the time; the first is 1.
func (h *harness) epoch() int64 {
	return max(1, h.doc.Epoch+rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 0, 1, -1}).Draw(h.rt, "epoch"))
}

func (h *harness) claim() error {
	epoch, keys := h.epoch(), h.keys()
	got, err := h.stock.Claim(h.rt.Context(), h.doc.Campaign, epoch, keys)
	h.clock = time.Now()
	for _, d := range got {
		h.seen[fmt.Sprint("verdict ", d.Verdict)]++
		if d.Verdict == coupon.Granted {
			h.clock = d.Claim.ClaimedAt
		}
	}
	want, wantErr := h.model.Claim(h.rt.Context(), h.doc.Campaign, epoch, keys)
	return h.same(keys, answerOf(got, err), answerOf(want, wantErr))
}

func (h *harness) held() error {
	epoch, keys := h.epoch(), h.keys()
	got, err := h.stock.Held(h.rt.Context(), h.doc.Campaign, epoch, keys)
	want, wantErr := h.model.Held(h.rt.Context(), h.doc.Campaign, epoch, keys)
	return h.same(keys, answerOf(got, err), answerOf(want, wantErr))
}

// holders asks at the hi that Redis has, most of the time.
func (h *harness) holders() error {
	ref := coupon.EpochRef{Campaign: h.doc.Campaign, Epoch: h.epoch()}
	hi, err := h.client.HGet(h.rt.Context(), h.key(0, simulated.KeyMeta), "hi").Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	hi += rapid.SampledFrom([]int64{0, 0, 0, 0, 1, -1}).Draw(h.rt, "hi")
	got, gotErr := readHolders(h.rt.Context(), h.stock, ref, hi)
	want, wantErr := readHolders(h.rt.Context(), h.model, ref, hi)
	if gotErr == nil {
		h.seen["holders"]++
	}
	return h.same(ref, answerOf(got, gotErr), answerOf(want, wantErr))
}

// readHolders reads all holders of an epoch, each once, and how many there are said to be.
func readHolders(ctx context.Context, from interface {
	Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) ([]coupon.Key, int64, uint64, error)
}, ref coupon.EpochRef, hi int64,
) (told []any, err error) {
	found := map[string]bool{}
	for cursor := uint64(0); ; {
		page, total, next, err := from.Holders(ctx, ref, hi, cursor)
		if err != nil {
			return nil, err
		}
		for _, key := range page {
			found[name(key)] = true
		}
		if cursor = next; cursor == 0 {
			return []any{total, slices.Sorted(maps.Keys(found))}, nil
		}
	}
}

func (h *harness) forget() error {
	epoch, keys := h.epoch(), h.keys()
	err := h.stock.Forget(h.rt.Context(), h.doc.Campaign, epoch, keys)
	wantErr := h.model.Forget(h.rt.Context(), h.doc.Campaign, epoch, keys)
	return h.same(keys, answerOf(nil, err), answerOf(nil, wantErr))
}

func (h *harness) take() error {
	return h.takeFrom(h.epoch(), coupon.Take{
		Limit:   rapid.SampledFrom([]int{1, 2, 3, 1000, 0}).Draw(h.rt, "limit"),
		Lease:   rapid.SampledFrom([]time.Duration{time.Hour, time.Millisecond, 24*time.Hour + 2*time.Second}).Draw(h.rt, "lease"),
		Overdue: rapid.SampledFrom([]time.Duration{-24 * time.Hour, -time.Hour, 0, time.Hour}).Draw(h.rt, "overdue"),
	})
}

// takeFrom learns the instant of the take from the leases that it wrote. A take that wrote none was at the instant before
// it or later, and then the model must not find more.
func (h *harness) takeFrom(epoch int64, take coupon.Take) error {
	before, now, err := h.pending(epoch)
	if err != nil {
		return err
	}
	got, takeErr := h.stock.TakePending(h.rt.Context(), h.doc.Campaign, epoch, take)
	after, _, err := h.pending(epoch)
	if err != nil {
		return err
	}
	h.clock = now
	for member, due := range after {
		if due != before[member] || len(got) > 0 && member == name(got[0].Key) {
			h.clock = time.UnixMilli(due).Add(-take.Lease)
		}
	}
	want, wantErr := h.model.TakePending(h.rt.Context(), h.doc.Campaign, epoch, take)
	return h.same(take, answerOf(got, takeErr), answerOf(want, wantErr))
}

func name(key coupon.Key) string {
	if key.N == 1 {
		return key.User
	}
	return fmt.Sprintf("%d/%s", key.N, key.User)
}

func (h *harness) pending(epoch int64) (due map[string]int64, now time.Time, err error) {
	clock, err := h.client.Time(h.rt.Context()).Result()
	if err != nil {
		return nil, now, err
	}
	entries, err := h.client.ZRangeWithScores(h.rt.Context(), h.key(epoch, simulated.KeyPending), 0, -1).Result()
	due = map[string]int64{}
	for _, entry := range entries {
		due[entry.Member.(string)] = int64(entry.Score)
	}
	return due, clock.Truncate(time.Millisecond), err
}

func (h *harness) key(epoch int64, key simulated.StockKey) string {
	if key == simulated.KeyMeta {
		return fmt.Sprintf("coupon:{%s}:meta", h.doc.Campaign)
	}
	return fmt.Sprintf("coupon:{%s}:%d:%s", h.doc.Campaign, epoch, key)
}

// sweepAll compares what is left of every epoch.
func (h *harness) sweepAll() error {
	for epoch := int64(1); epoch <= h.next.Epoch; epoch++ {
		if err := h.takeFrom(epoch, coupon.Take{Limit: 1000, Lease: time.Hour, Overdue: -72 * time.Hour}); err != nil {
			return err
		}
	}
	return h.held()
}

func (h *harness) mishap() error { return h.damage(h.epoch()) }

// damage is what a Redis may suffer; a key that is deleted is the epoch's.
func (h *harness) damage(epoch int64) error {
	ctx := h.rt.Context()
	switch rapid.SampledFrom([]string{"delete", "delete", "promote", "keep", "rewind", "flush"}).Draw(h.rt, "damage") {
	case "delete":
		ref := coupon.EpochRef{Campaign: h.doc.Campaign, Epoch: epoch}
		key := rapid.SampledFrom([]simulated.StockKey{
			simulated.KeyPending, simulated.KeyUsers, simulated.KeyCount, simulated.KeySerials, simulated.KeyMeta,
		}).Draw(h.rt, "key")
		h.model.DeleteKey(ref, key)
		return h.client.Del(ctx, h.key(ref.Epoch, key)).Err()
	case "promote":
		h.model.Restart(false)
		return h.promote()
	case "keep":
		return h.keep()
	case "rewind":
		return h.rewind()
	default:
		h.model.Flush()
		return h.client.FlushAll(ctx).Err()
	}
}

// promote gives the real Redis a new replication id, without a restart.
func (h *harness) promote() error {
	if err := h.client.Do(h.rt.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		return err
	}
	return h.client.Do(h.rt.Context(), "REPLICAOF", "NO", "ONE").Err()
}

// backup is a state that a fail-over to a replica goes back to.
type backup struct {
	keys    map[string]string
	replica *simulated.Stock
}

func (h *harness) keep() error {
	names, err := h.client.Keys(h.rt.Context(), "*").Result()
	if err != nil {
		return err
	}
	h.kept = &backup{keys: map[string]string{}, replica: h.model.Clone()}
	for _, key := range names {
		if h.kept.keys[key], err = h.client.Dump(h.rt.Context(), key).Result(); err != nil {
			return err
		}
	}
	return nil
}

func (h *harness) rewind() error {
	if h.kept == nil {
		return nil
	}
	h.model.FailOver(h.kept.replica)
	_, err := h.client.Pipelined(h.rt.Context(), func(pipe redis.Pipeliner) error {
		pipe.FlushAll(h.rt.Context())
		for key, value := range h.kept.keys {
			pipe.Restore(h.rt.Context(), key, 0, value)
		}
		return nil
	})
	if err != nil && !strings.Contains(err.Error(), "no such key") {
		return err
	}
	return h.promote()
}
