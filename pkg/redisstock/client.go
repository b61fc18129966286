package redisstock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	redisPort      = "6379"
	sentinelPort   = "26379"
	sentinelScheme = "redis+sentinel"
)

// slotsAge is how old the map of a cluster's slots may be. A master that is gone does not say who took its place.
const slotsAge = 2 * time.Second

// NewClient returns a client for REDIS_URL: redis://[user:password@]host[:port][/db], rediss:// for TLS, a comma list of
// hosts for a cluster, redis+sentinel://host,host/master for a master that Sentinel names. It does not connect.
func NewClient(raw string) (redis.UniversalClient, error) {
	options, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	tuned(options)
	if len(options.Addrs) == 1 || options.MasterName != "" {
		return redis.NewUniversalClient(options), nil
	}
	cluster := options.Cluster()
	cluster.ClusterStateReloadInterval = slotsAge
	return redis.NewClusterClient(cluster), nil
}

// CheckURL says what is wrong with a REDIS_URL, without connecting.
func CheckURL(raw string) error {
	_, err := parse(raw)
	return err
}

// tuned sets every option that go-redis would otherwise choose, and chooses differently from version to version.
func tuned(o *redis.UniversalOptions) *redis.UniversalOptions {
	const connections = 16 // a few per core are enough when claims ride in batches
	o.Protocol = 3
	o.MaxRetries = -1 // a silent repeat would outlive the caller's deadline
	o.ContextTimeoutEnabled = true
	o.DialTimeout = 500 * time.Millisecond
	o.DialerRetries = 1
	o.ReadTimeout = time.Second
	o.WriteTimeout = time.Second
	o.PoolSize = connections
	o.MinIdleConns = connections // opened before the crowd comes, not by it
	o.MaxIdleConns = connections
	o.MaxActiveConns = connections
	o.PoolTimeout = 200 * time.Millisecond
	o.PipelinePoolSize = -1
	o.ConnMaxIdleTime = -1
	o.ConnMaxLifetime = -1
	o.MaxRedirects = 3 // of a cluster: a moved slot needs one
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}

func parse(raw string) (*redis.UniversalOptions, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return nil, errors.New("no scheme: want redis://, rediss:// or redis+sentinel://")
	}
	rest = strings.ReplaceAll(rest, ","+scheme+"://", ",") // each host may repeat the scheme
	authority, tail := rest, ""
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		authority, tail = rest[:end], rest[end:]
	}
	user, list := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, list = authority[:at+1], authority[at+1:]
	}
	hosts := strings.Split(list, ",")
	// net/url knows one host only; it reads the rest.
	u, err := url.Parse(scheme + "://" + user + hosts[0] + tail)
	if err != nil {
		return nil, errors.New("not a URL of the form redis://[user:password@]host[:port][/db]") // err may quote the password
	}
	return fromURL(u, hosts)
}

func fromURL(u *url.URL, hosts []string) (*redis.UniversalOptions, error) {
	options := &redis.UniversalOptions{}
	port := redisPort
	switch u.Scheme {
	case "redis":
	case "rediss":
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // the server name is each host's own
	case sentinelScheme:
		port = sentinelPort
		options.MasterName = strings.Trim(u.Path, "/")
		if options.MasterName == "" {
			return nil, errors.New("redis+sentinel:// needs the master's name as its path")
		}
		u.Path = ""
	default:
		return nil, fmt.Errorf("scheme %q: want redis, rediss or redis+sentinel", u.Scheme)
	}
	for _, host := range hosts {
		if host == "" {
			return nil, errors.New("a host is empty")
		}
		options.Addrs = append(options.Addrs, withPort(host, port))
	}
	single, err := redis.ParseURL(strings.Replace(u.String(), sentinelScheme+"://", "redis://", 1))
	if err != nil {
		return nil, err
	}
	for name := range u.Query() {
		if name != "db" {
			return nil, fmt.Errorf("parameter %q: only db can be set", name)
		}
	}
	if len(hosts) > 1 && options.MasterName == "" && single.DB != 0 {
		return nil, errors.New("a cluster has database 0 only")
	}
	options.Username, options.Password, options.DB = single.Username, single.Password, single.DB
	return options, nil
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// LogTo sends what go-redis prints by itself, process-wide, to logger at debug level: what it says of a Redis that is
// away is in the error of every call too.
func LogTo(logger *slog.Logger) { redis.SetLogger(libraryLog{logger}) }

type libraryLog struct{ logger *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	l.logger.DebugContext(ctx, "go-redis", "says", fmt.Sprintf(format, args...))
}
