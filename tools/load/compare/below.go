package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/load/floor"
	"github.com/seonchak/seonchak/tools/load/token"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/procs"
)

// floors starts floors that answer what the product answers.
func (c *comparison) floors(ctx context.Context, names []string, product *applicants) (all []contender, err error) {
	for _, name := range names {
		below, err := c.floor(ctx, name, product)
		if err != nil {
			return nil, fmt.Errorf("floor %s: %w", name, err)
		}
		all = append(all, below)
	}
	return all, nil
}

func (c *comparison) floor(ctx context.Context, name string, product *applicants) (contender, error) {
	switch name {
	case floor.Gin, floor.GinEvalSHA:
		return c.served(ctx, name, product)
	case floor.Redis:
		return c.onStore(name)(floor.OnRedis(ctx, c.Stage.Stores.Redis))
	case floor.Kafka:
		return c.onStore(name)(floor.OnKafka(ctx, c.Stage.Stores.Kafka))
	case floor.MySQL:
		return c.onStore(name)(floor.OnMySQL(ctx, c.stage.DSN))
	}
	return contender{}, fmt.Errorf("it is none of %q", Floors)
}

func (c *comparison) onStore(name string) func(*floor.Store, error) (contender, error) {
	return func(store *floor.Store, err error) (contender, error) {
		if err != nil {
			return contender{}, err
		}
		c.closes = append(c.closes, store.Close)
		return onStore(name, store, c.Lasts), nil
	}
}

// served starts a floor with HTTP, a process of its own as the api-server is.
func (c *comparison) served(ctx context.Context, name string, product *applicants) (contender, error) {
	answer, err := c.record(ctx, product)
	if err != nil {
		return contender{}, err
	}
	address, err := procs.FreeAddress()
	if err != nil {
		return contender{}, err
	}
	process, err := procs.Start(ctx, procs.Spec{
		Name: name, Binary: c.Self, Args: []string{"serve-floor", name, "--address", address, "--answer", answer},
		Env: []string{"REDIS_URL=" + c.Stage.Stores.Redis, "JWT_HMAC_SECRET=" + string(c.Stage.Secret)},
		Log: filepath.Join(c.Stage.Logs, name+".log"), Ready: "http://" + address + "/readyz",
	})
	if err != nil {
		return contender{}, err
	}
	c.closes = append(c.closes, process.Stop)
	below := *product
	below.options.Servers, below.options.Anybody, below.pids = []string{address}, true, []int{process.PID()}
	below.settle, below.fromMemory = nil, nil
	if product.example != "" {
		below.options.Campaigns = slices.Repeat([]string{product.example}, len(product.options.Campaigns))
	}
	below.kinds = []told.Kind{told.Accepted, told.Issued, told.Replayed, told.SoldOut}
	return contender{name, below.round}, nil
}

// record writes what the product answers to one apply into a file.
func (c *comparison) record(ctx context.Context, product *applicants) (file string, err error) {
	campaign := product.options.Campaigns[0]
	if product.example != "" {
		campaign = product.example
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.stage.Server.URL+"/v1/campaigns/"+campaign+"/apply", http.NoBody)
	if err != nil {
		return "", err
	}
	user := product.options.Users.Name(product.asks)
	request.Header.Set("X-User-Id", user)
	if c.Stage.Secret != nil {
		key := token.NewKey(c.Stage.Secret, time.Now().Add(time.Hour))
		request.Header.Set("Authorization", "Bearer "+string(key.Append(nil, user)))
	}
	answer, err := recordOne(request)
	if err != nil {
		return "", err
	}
	content, err := json.Marshal(answer)
	if err != nil {
		return "", err
	}
	file = filepath.Join(c.Stage.Logs, "answer.json")
	return file, os.WriteFile(file, content, 0o600)
}

func recordOne(request *http.Request) (floor.Answer, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return floor.Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return floor.Answer{}, err
	}
	answer := floor.Answer{Status: response.StatusCode, Header: map[string]string{}, Body: string(body)}
	for name, values := range response.Header {
		if name != "Date" && name != "Content-Length" { // the server's own
			answer.Header[name] = strings.Join(values, ", ")
		}
	}
	return answer, nil
}
