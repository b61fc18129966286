package redisstock

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/coupon"
)

var (
	errReplica      = errors.New("this redis is no master")
	errInfoInScript = errors.New("redis does not tell scripts its replication id: an ACL must allow +info")
)

// Seal returns the replication id of the master that holds the campaign's keys: what Document.Seal must be for it to
// grant there. It changes when that Redis restarts, is promoted or is replaced. It is "" only of a server that has none
// (the embedded stand-in); one that has an id and does not tell it to scripts gives an error.
func (s *Stock) Seal(ctx context.Context, campaign string) (string, error) {
	const what = "read the replication id of Redis"
	key := metaKey(campaign)
	id, refusal := s.owner.Run(ctx, s.client, []string{key}).Text()
	if refusal == nil {
		return id, nil
	}
	if !answered(refusal) {
		return "", coupon.Unavailable(what, refusal)
	}
	server, err := s.masterOf(ctx, key)
	if err != nil {
		return "", coupon.Unavailable(what, err)
	}
	if why, err := whyNoID(ctx, server); why != nil || err != nil {
		return "", coupon.Unavailable(what, errors.Join(why, err, refusal))
	}
	return "", nil
}

func (s *Stock) masterOf(ctx context.Context, key string) (redis.Cmdable, error) {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	return s.client, nil
}

// whyNoID says why a script did not get the replication id: nil when the server has none.
func whyNoID(ctx context.Context, server redis.Cmdable) (why, err error) {
	told, err := server.Info(ctx).Result()
	switch {
	case redis.HasErrorPrefix(err, "NOPERM"):
		return errInfoInScript, nil
	case err != nil:
		return nil, err
	case !strings.Contains(told, "master_replid:"):
		return nil, nil
	case strings.Contains(told, "role:slave"):
		return errReplica, nil
	default:
		return errInfoInScript, nil
	}
}

// answered reports whether err is something that Redis said, rather than its silence.
func answered(err error) bool {
	var said redis.Error
	return errors.As(err, &said)
}
