package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/tools/procs"
)

// Redis is the server that decides, and sometimes a replica of it.
type Redis struct {
	Kills int // SIGKILLs so far

	dir     string
	network *network
	started int
	primary *node
	replica *node // nil without one
	wire    *Link // between the two
}

// node is one redis-server.
type node struct {
	process *procs.Process
	address string
	dir     string
	client  *redis.Client
	frozen  bool
}

// silence is what go-redis logs while a server is away.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func startRedis(ctx context.Context, dir string, network *network) (*Redis, error) {
	redis.SetLogger(silence{})
	r := &Redis{dir: dir, network: network}
	var err error
	r.primary, err = r.start(ctx)
	return r, err
}

func (r *Redis) start(ctx context.Context) (*node, error) {
	address, err := procs.FreeAddress()
	if err != nil {
		return nil, err
	}
	r.started++
	n := &node{address: address, dir: filepath.Join(r.dir, fmt.Sprintf("node-%d", r.started))}
	if err := fresh(n.dir); err != nil {
		return nil, err
	}
	n.client = redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1, DisableIdentity: true, DialerRetries: 1})
	// As scripts/services.sh and production have it: the replication id stays when the last replica has gone.
	args := []string{
		"--bind", "127.0.0.1", "--port", port(address), "--dir", n.dir, "--save", "", "--appendonly", "yes",
		"--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--repl-backlog-ttl", "0",
		"--repl-diskless-sync-delay", "0", "--lazyfree-lazy-user-del", "yes", "--lazyfree-lazy-user-flush", "yes",
	}
	n.process, err = procs.Start(ctx, procs.Spec{
		Name: "redis", Binary: "redis-server", Args: args, Log: n.dir + ".log",
	})
	if err != nil {
		return nil, err
	}
	return n, n.await(ctx)
}

// await returns when the server answers and has read its data.
func (n *node) await(ctx context.Context) error {
	const bound = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return Await(ctx, "redis answers", func() bool { return n.client.Ping(ctx).Err() == nil })
}

func (n *node) close() error {
	_ = n.client.Close()
	_ = n.process.Resume()
	if n.process.Ending() != nil {
		return nil
	}
	return n.process.Kill()
}

// Address is the deciding server's, past every link.
func (r *Redis) Address() string { return r.primary.address }

// Client is a client of the deciding server, past every link.
func (r *Redis) Client() *redis.Client { return r.primary.client }

// Kill ends the deciding server with SIGKILL.
func (r *Redis) Kill() error {
	r.Kills++
	return r.primary.process.Kill()
}

// Restart starts the killed server again with what its log of commands kept.
func (r *Redis) Restart(ctx context.Context) error {
	if err := r.primary.process.Restart(ctx); err != nil {
		return err
	}
	return r.primary.await(ctx)
}

// RestartEmpty starts the killed server again without data.
func (r *Redis) RestartEmpty(ctx context.Context) error {
	if err := fresh(r.primary.dir); err != nil {
		return err
	}
	return r.Restart(ctx)
}

// Freeze leaves the server's connections open, and nothing answers until Thaw.
func (r *Redis) Freeze() error {
	r.primary.frozen = true
	return r.primary.process.Pause()
}

// Thaw lets it go on.
func (r *Redis) Thaw() error {
	r.primary.frozen = false
	return r.primary.process.Resume()
}

// Attach starts a replica and returns when it has all that the primary has.
func (r *Redis) Attach(ctx context.Context) error {
	wire, err := r.network.link("replication", door{behind: r.primary.address})
	if err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(wire.Address)
	r.wire = wire
	if r.replica, err = r.start(ctx); err != nil {
		return err
	}
	// By command, not by option: once promoted it must not come back as a replica when it is started again.
	if err := r.replica.client.Do(ctx, "REPLICAOF", host, port).Err(); err != nil {
		return err
	}
	return Await(ctx, "the replica is in step", func() bool {
		info, _ := r.replica.client.Info(ctx, "replication").Result()
		return strings.Contains(info, "master_link_status:up")
	})
}

// CutReplica stops what the primary writes from reaching the replica.
func (r *Redis) CutReplica() error { return r.wire.Break(Cut) }

// Promote makes the replica a primary of its own, which the links do not lead to yet, and returns its address. The old
// primary lives on and believes in itself.
func (r *Redis) Promote(ctx context.Context) (string, error) {
	err := r.replica.client.Do(ctx, "REPLICAOF", "NO", "ONE").Err()
	return r.replica.address, err
}

// Succeed makes the promoted replica the deciding server and ends the old one.
func (r *Redis) Succeed() error {
	old := r.primary
	r.primary, r.replica = r.replica, nil
	r.wire.proxy.Stop()
	return old.close()
}

// Detach ends the replica.
func (r *Redis) Detach() error {
	if r.replica == nil {
		return nil
	}
	gone := r.replica
	r.replica = nil
	r.wire.proxy.Stop()
	return gone.close()
}

func (r *Redis) heal(ctx context.Context) error {
	if r.primary.frozen {
		if err := r.Thaw(); err != nil {
			return err
		}
	}
	if r.primary.process.Ending() != nil {
		return r.Restart(ctx)
	}
	return nil
}

func (r *Redis) close() error {
	var failed []error
	for _, n := range []*node{r.primary, r.replica} {
		if n != nil {
			failed = append(failed, n.close())
		}
	}
	return errors.Join(append(failed, os.RemoveAll(r.dir))...)
}
