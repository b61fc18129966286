// Package floor does as little as an apply needs at the least, so that what the programs do can be compared with what the
// machine, its HTTP stack and its stores can do at best.
package floor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/tools/load/token"
)

// Answer is what a floor answers to every apply.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Server is a floor that speaks HTTP.
type Server struct {
	Address string // host:port
	Answer  Answer
	Secret  []byte                              // of HS256 tokens, verified before the answer; nil takes X-User-Id
	Claim   func(context.Context, string) error // done for each user before the answer; nil for nothing
}

// connectsWithin is how long a crowd may take to connect: it applies when all are there, and who is cut off by then is missing.
const connectsWithin = 30 * time.Second

// Run serves until ctx ends.
func (s Server) Run(ctx context.Context) error {
	server := &http.Server{Addr: s.Address, Handler: s.handler(), ReadHeaderTimeout: connectsWithin}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

func (s Server) handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	body := []byte(s.Answer.Body)
	contentType := s.Answer.Header["Content-Type"]
	user := s.authenticator()
	engine.GET("/readyz", func(c *gin.Context) { c.Status(http.StatusOK) })
	engine.POST("/v1/campaigns/:id/apply", func(c *gin.Context) {
		name, err := user(c.Request)
		if err == nil && s.Claim != nil {
			err = s.Claim(c.Request.Context(), name)
		}
		if err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		for name, value := range s.Answer.Header {
			c.Header(name, value)
		}
		c.Data(s.Answer.Status, contentType, body)
	})
	return engine.Handler()
}

func (s Server) authenticator() func(*http.Request) (string, error) {
	if s.Secret == nil {
		return func(r *http.Request) (string, error) { return r.Header.Get("X-User-Id"), nil }
	}
	keys := sync.Pool{New: func() any { return token.NewKey(s.Secret, time.Time{}) }}
	return func(r *http.Request) (string, error) {
		raw, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer {
			return "", errors.New("no token")
		}
		key := keys.Get().(*token.Key)
		defer keys.Put(key)
		return key.Verify(raw, time.Now())
	}
}

// claimers is how many connections to Redis an EVALSHA for each apply needs at the most.
const claimers = 64

// once is the least that a first-come claim can be in Redis, as it is found in many a tutorial.
//
// KEYS     1 users, 2 count
// ARGV     1 user
// Returns  the serial, 0 when the user has one
var once = redis.NewScript(`
if redis.call('SADD', KEYS[1], ARGV[1]) == 0 then
  return 0
end
return redis.call('INCR', KEYS[2])`)

// keysOf returns the keys of a floor, in one slot of a cluster.
func keysOf(name string) []string { return []string{"{" + name + "}:users", "{" + name + "}:count"} }

// Claimer returns a Claim that is one EVALSHA, and a function that removes what it left in Redis.
func Claimer(ctx context.Context, url string) (claim func(context.Context, string) error, closer func() error, err error) {
	client, err := dialRedis(ctx, url, claimers)
	if err != nil {
		return nil, nil, err
	}
	if err := once.Load(ctx, client).Err(); err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	keys := keysOf(ownName())
	claim = func(ctx context.Context, user string) error {
		return once.EvalSha(ctx, client, keys, user).Err()
	}
	return claim, func() error { return forget(client, keys) }, nil
}

func dialRedis(ctx context.Context, url string, connections int) (*redis.Client, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	options.PoolSize, options.MaxRetries, options.DisableIdentity = connections, -1, true
	client := redis.NewClient(options)
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

func forget(client *redis.Client, keys []string) error {
	const bound = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	return errors.Join(client.Unlink(ctx, keys...).Err(), client.Close())
}
