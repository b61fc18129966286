package redisstock

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Weaknesses returns one sentence for each setting of Redis that is weaker than the promise needs; none means none. A
// server that does not tell is weak too.
func (s *Stock) Weaknesses(ctx context.Context) ([]string, error) {
	var (
		mu    sync.Mutex
		found []string
	)
	err := s.eachServer(ctx, func(ctx context.Context, server redis.Cmdable) error {
		weak, err := s.weaknesses(ctx, server)
		mu.Lock()
		defer mu.Unlock()
		found = append(found, weak...)
		return err
	})
	if err != nil {
		return nil, coupon.Unavailable("read the settings of Redis", err)
	}
	slices.Sort(found) // the servers of a cluster share one configuration, as a rule
	return slices.Compact(found), nil
}

func (s *Stock) eachServer(ctx context.Context, ask func(ctx context.Context, server redis.Cmdable) error) error {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, server *redis.Client) error { return ask(ctx, server) })
	}
	return ask(ctx, s.client)
}

// weaknesses asks by INFO, which hosted servers answer where CONFIG is forbidden.
func (s *Stock) weaknesses(ctx context.Context, server redis.Cmdable) ([]string, error) {
	memory, err := info(ctx, server, "memory")
	if err != nil {
		return nil, err
	}
	persistence, err := info(ctx, server, "persistence")
	if err != nil {
		return nil, err
	}
	var found []string
	switch policy := memory["maxmemory_policy"]; policy {
	case "noeviction":
	case "":
		found = append(found, "Redis does not tell its maxmemory-policy: with any but noeviction it may drop claims when memory runs out.")
	default:
		found = append(found, "Redis has maxmemory-policy "+policy+": it may drop claims when memory runs out; set noeviction.")
	}
	switch persistence["aof_enabled"] {
	case "1":
	case "":
		found = append(found, "Redis does not tell whether appendonly is on: without it a restart loses every claim not yet in the log.")
	default:
		found = append(found, "Redis has appendonly no: a restart loses every claim not yet in the log; set appendonly yes.")
	}
	unsealed, err := s.unsealed(ctx, server)
	if err != nil {
		return nil, err
	}
	backlog, err := backlogEnds(ctx, server)
	return slices.Concat(found, unsealed, backlog), err
}

// unsealed says why no epoch could be sealed to the server.
func (s *Stock) unsealed(ctx context.Context, server redis.Cmdable) ([]string, error) {
	err := s.owner.Run(ctx, server, nil).Err()
	if err == nil || !answered(err) || redis.IsLoadingError(err) {
		return nil, err
	}
	why, err := whyNoID(ctx, server)
	switch {
	case errors.Is(why, errReplica):
		return []string{"Redis is a replica: no campaign can be opened on it; REDIS_URL must name the master."}, nil
	case why != nil:
		return []string{"Redis does not answer INFO in scripts: no campaign can be opened; its ACL must allow +info."}, nil
	case err == nil:
		return []string{"Redis tells no replication id: one that restarted and lost claims is not told from one that did not."}, nil
	default:
		return nil, err
	}
}

// backlogEnds is silent where CONFIG may not be asked.
func backlogEnds(ctx context.Context, server redis.Cmdable) ([]string, error) {
	const setting = "repl-backlog-ttl"
	reply, err := server.ConfigGet(ctx, setting).Result()
	if answered(err) {
		return nil, nil
	}
	if err != nil || reply[setting] == "0" || reply[setting] == "" {
		return nil, err
	}
	return []string{"Redis has " + setting + " " + reply[setting] +
		": a replica that is away for longer costs every campaign a fence; set 0."}, nil
}

// info returns the fields of a section, none when the server refuses to tell.
func info(ctx context.Context, server redis.Cmdable, section string) (map[string]string, error) {
	reply, err := server.Info(ctx, section).Result()
	var refused redis.Error
	if errors.As(err, &refused) && !redis.IsLoadingError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(reply) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	return fields, nil
}
