package memory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/tools/procs"
)

// Point is how much Redis holds for so many claims of one campaign, in bytes beyond an empty campaign, and what the claims
// since the point before cost it, while none was settled.
type Point struct {
	Claims  int   `json:"claims"`
	Pending int64 `json:"pending_bytes"` // none is in the log yet
	Settled int64 `json:"settled_bytes"` // all are; 0 beyond a million claims, where it was not measured

	Cost  time.Duration `json:"cost_ns"` // processor time of Redis for a claim of a batch
	Forks int64         `json:"forks"`   // to write the append-only file anew
	Fork  time.Duration `json:"fork_ns"` // how long the last of them held up everybody; 0 without one
}

const (
	million = 1_000_000
	steps   = 10  // points of a curve up to a million claims, alike; beyond, each million is one
	batch   = 128 // claims, as many as the api-server sends at once
	lanes   = 2   // batches at once: one is made ready while the other is on its way
)

// OfRedis claims so many coupons in a redis-server of its own, for users with names as long as a UUID. While none is
// settled it has an append-only file, as in production. The file and its log go to dir. It is an error when the machine has
// no room for so many.
func OfRedis(ctx context.Context, dir string, claims int) (curve []Point, err error) {
	if err := room(claims); err != nil {
		return nil, err
	}
	address, err := procs.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(dir, "redis-") // a run that was killed leaves a file that no other may begin with
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }() // gigabytes nobody reads
	server, err := procs.Start(ctx, procs.Spec{
		Name: "redis-server", Binary: "redis-server", Log: filepath.Join(dir, "redis.log"),
		Args: []string{
			"--bind", "127.0.0.1", "--port", port, "--dir", data, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
			"--maxmemory-policy", "noeviction",
		},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1, DisableIdentity: true})
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := awaitAnswer(ctx, client); err != nil {
		return nil, err
	}
	for _, size := range sizes(claims) {
		curve = append(curve, Point{Claims: size})
	}
	if err := fill(ctx, client, curve, false); err != nil {
		return nil, err
	}
	// A process that writes the file anew puts off the growth of tables, and a claim would look smaller than it is.
	if err := client.ConfigSet(ctx, "appendonly", "no").Err(); err != nil {
		return nil, err
	}
	return curve, fill(ctx, client, curve[:upToAMillion(curve)], true)
}

func awaitAnswer(ctx context.Context, client *redis.Client) error {
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

// few are the points before the first step: what a claim costs while the tables are small.
var few = []int{1_000, 10_000}

func sizes(claims int) (all []int) {
	first := min(claims, million)
	for _, size := range few {
		if size < first/steps {
			all = append(all, size)
		}
	}
	for step := range steps {
		all = append(all, max(1, first*(step+1)/steps))
	}
	for size := first; size < claims; {
		size = min(size+million, claims)
		all = append(all, size)
	}
	return all
}

// upToAMillion is how many points there are that settled claims are measured at, too.
func upToAMillion(curve []Point) int {
	n := 0
	for n < len(curve) && curve[n].Claims <= million {
		n++
	}
	return n
}

// fill claims up to each point of the curve, in a campaign of its own, and settles each claim at once or none.
func fill(ctx context.Context, client *redis.Client, curve []Point, settle bool) error {
	stock := redisstock.New(client)
	now := time.Now().UTC()
	doc := coupon.Document{
		Campaign: fmt.Sprintf("settled-%t", settle), Version: 1, State: coupon.DocumentOpen, Epoch: 1, Lo: 1,
		Hi: int64(curve[len(curve)-1].Claims), PerUserLimit: 1, OpensAt: now.Add(-time.Hour), ClosesAt: now.Add(time.Hour),
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
		p := &curve[i]
		before, err := spentBy(ctx, client)
		if err != nil {
			return err
		}
		if err := claim(ctx, stock, doc, claimed, p.Claims, settle); err != nil {
			return err
		}
		after, err := spentBy(ctx, client)
		if err != nil {
			return err
		}
		now, err := used(ctx, client)
		if err != nil {
			return err
		}
		if settle {
			p.Settled = now - empty
		} else {
			p.Pending = now - empty
			p.cost(before, after, p.Claims-claimed)
		}
		claimed = p.Claims
	}
	return nil
}

func (p *Point) cost(before, after spent, claims int) {
	p.Cost = (after.processor - before.processor) / time.Duration(max(1, claims))
	p.Forks = after.forks - before.forks
	if p.Forks > 0 {
		p.Fork = after.fork
	}
}

// claim claims for the users from first to end, some batches at a time.
func claim(ctx context.Context, stock *redisstock.Stock, doc coupon.Document, first, end int, settle bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lanes)
	for ; first < end && ctx.Err() == nil; first += batch {
		keys := crowdOf(doc.Campaign, first, min(first+batch, end))
		group.Go(func() error { return claimBatch(ctx, stock, doc, keys, settle) })
	}
	return group.Wait()
}

func claimBatch(ctx context.Context, stock *redisstock.Stock, doc coupon.Document, keys []coupon.Key, settle bool) error {
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
		return nil
	}
	return stock.Forget(ctx, doc.Campaign, doc.Epoch, keys)
}

// crowdOf returns the keys of the users from first to end; their names have 36 characters.
func crowdOf(campaign string, first, end int) (keys []coupon.Key) {
	for i := first; i < end; i++ {
		user := fmt.Sprintf("9f1c6f0e-2b7d-4c55-8a3e-%012x", i*2654435761%(1<<48))
		keys = append(keys, coupon.Key{Campaign: campaign, User: user, N: 1})
	}
	return keys
}
