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
		weak, err := weaknesses(ctx, server)
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
func weaknesses(ctx context.Context, server redis.Cmdable) ([]string, error) {
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
	return found, nil
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
