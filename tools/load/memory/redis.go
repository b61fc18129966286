package memory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/tools/procs"
)

// Point is how much Redis holds for so many claims of one campaign, in bytes beyond an empty campaign, and what the claims
// since the point before cost it.
type Point struct {
	Claims  int   `json:"claims"`
	Pending int64 `json:"pending_bytes"` // none is in the log yet
	Settled int64 `json:"settled_bytes"` // all are

	Cost time.Duration `json:"cost_ns"` // processor time of Redis for a claim of a batch
}

const (
	steps = 10  // points of a curve
	batch = 128 // claims, as many as the api-server sends at once
)

// OfRedis claims so many coupons in a redis-server of its own, for users with names as long as a UUID. Its log goes to dir.
func OfRedis(ctx context.Context, dir string, claims int) (curve []Point, err error) {
	address, err := procs.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	server, err := procs.Start(ctx, procs.Spec{
		Name: "redis-server", Binary: "redis-server", Log: filepath.Join(dir, "redis.log"),
		Args: []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1, DisableIdentity: true})
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := answers(ctx, client); err != nil {
		return nil, err
	}
	curve = make([]Point, steps)
	for i, size := range sizes(claims) {
		curve[i].Claims = size
	}
	if err := fill(ctx, client, curve, false); err != nil {
		return nil, err
	}
	return curve, fill(ctx, client, curve, true)
}

func answers(ctx context.Context, client *redis.Client) error {
	const poll, bound = 20 * time.Millisecond, 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(poll):
		}
	}
}

func sizes(claims int) (all []int) {
	for step := range steps {
		all = append(all, max(1, claims*(step+1)/steps))
	}
	return all
}

// fill claims up to each point of the curve, in a campaign of its own, and settles each claim at once or none.
func fill(ctx context.Context, client *redis.Client, curve []Point, settle bool) error {
	stock := redisstock.New(client)
	now := time.Now().UTC()
	doc := coupon.Document{
		Campaign: fmt.Sprintf("settled-%t", settle), Version: 1, State: coupon.DocumentOpen, Epoch: 1, Lo: 1, Hi: int64(curve[steps-1].Claims), PerUserLimit: 1,
		OpensAt: now.Add(-time.Hour), ClosesAt: now.Add(time.Hour),
	}
	if err := errors.Join(stock.Prepare(ctx, doc), stock.Open(ctx, doc)); err != nil {
		return err
	}
	empty, err := used(ctx, client)
	if err != nil {
		return err
	}
	claimed := 0
	for i := range curve {
		before, err := processorTime(ctx, client)
		if err != nil {
			return err
		}
		if err := claim(ctx, stock, doc, claimed, curve[i].Claims, settle); err != nil {
			return err
		}
		after, err := processorTime(ctx, client)
		if err != nil {
			return err
		}
		now, err := used(ctx, client)
		if err != nil {
			return err
		}
		if settle {
			curve[i].Settled = now - empty
		} else {
			curve[i].Pending, curve[i].Cost = now-empty, (after-before)/time.Duration(max(1, curve[i].Claims-claimed))
		}
		claimed = curve[i].Claims
	}
	return nil
}

// claim claims for the users from first to end, a batch at a time.
func claim(ctx context.Context, stock *redisstock.Stock, doc coupon.Document, first, end int, settle bool) error {
	for ; first < end; first += batch {
		keys := crowdOf(doc.Campaign, first, min(first+batch, end))
		decisions, err := stock.Claim(ctx, doc.Campaign, doc.Epoch, keys)
		if err != nil {
			return err
		}
		for _, d := range decisions {
			if d.Verdict != coupon.Granted {
				return fmt.Errorf("not granted: %+v", d)
			}
		}
		if !settle {
			continue
		}
		if err := stock.Forget(ctx, doc.Campaign, doc.Epoch, keys); err != nil {
			return err
		}
	}
	return nil
}

// crowdOf returns the keys of the users from first to end; their names have 36 characters.
func crowdOf(campaign string, first, end int) (keys []coupon.Key) {
	for i := first; i < end; i++ {
		user := fmt.Sprintf("9f1c6f0e-2b7d-4c55-8a3e-%012x", i*2654435761%(1<<48))
		keys = append(keys, coupon.Key{Campaign: campaign, User: user, N: 1})
	}
	return keys
}

var usedMemory = regexp.MustCompile(`(?m)^used_memory:(\d+)`)

// used reads used_memory once it stands still: a hash table that grows is two tables for a while.
func used(ctx context.Context, client *redis.Client) (last int64, err error) {
	const looks, poll, still = 8, 25 * time.Millisecond, 64 << 10
	for same := 0; same < looks; {
		told, err := client.Info(ctx, "memory").Result()
		if err != nil {
			return 0, err
		}
		found := usedMemory.FindStringSubmatch(told)
		if found == nil {
			return 0, fmt.Errorf("no used_memory in %q", told)
		}
		now, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			return 0, err
		}
		if same++; max(now-last, last-now) > still {
			same = 0
		}
		last = now
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(poll):
		}
	}
	return last, nil
}

var usedProcessor = regexp.MustCompile(`(?m)^used_cpu_(?:sys|user):([\d.]+)`)

// processorTime is what Redis has used so far.
func processorTime(ctx context.Context, client *redis.Client) (used time.Duration, err error) {
	told, err := client.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, err
	}
	for _, found := range usedProcessor.FindAllStringSubmatch(told, -1) {
		seconds, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return 0, err
		}
		used += time.Duration(seconds * float64(time.Second))
	}
	if used == 0 {
		return 0, fmt.Errorf("no used_cpu in %q", told)
	}
	return used, nil
}
