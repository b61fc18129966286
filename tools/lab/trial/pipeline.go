package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seonchak/seonchak/pkg/redisstock"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/lab/serve"
	"github.com/seonchak/seonchak/tools/procs"
	"github.com/seonchak/seonchak/tools/stage"
)

// The product, as it is and with a consumer that is kept from taking the whole database.
const (
	Pipeline      = "pipeline"
	PipelinePaced = "pipeline-paced"

	pace = "ISSUE_RATE=500"
)

// product is the api-server and the consumer as they are in production.
type product struct {
	*stage.Stage
	id       string
	listen   []string
	redis    redis.UniversalClient
	consumer *procs.Consumer
	victims  []*procs.Process // of a crash
	died     bool
}

func startProduct(ctx context.Context, stores procs.Stores, bin, logs string, which Case) (*product, error) {
	up, err := stage.New(ctx, stage.Options{Stores: stores, Bin: bin, Logs: logs})
	if err != nil {
		return nil, err
	}
	p := &product{Stage: up, listen: []string{up.Address()}}
	if p.redis, err = redisstock.NewClient(stores.Redis); err != nil {
		return p, err
	}
	return p, p.open(ctx, which)
}

func (p *product) open(ctx context.Context, which Case) (err error) {
	env := []string{"LOG_LEVEL=warn"}
	if which.Strategy == PipelinePaced {
		env = append(env, pace)
	}
	if p.consumer, err = p.StartConsumer(ctx, env...); err != nil {
		return err
	}
	p.victims = []*procs.Process{p.Server.Process, p.consumer.Process}
	if p.id, err = p.Open(ctx, which.Limit); err != nil {
		return err
	}
	if which.Workload == Booking {
		p.victims = p.victims[:1] // nobody would have a seat to give back until the consumer's group has missed it
		if err := p.returnPlaces(ctx); err != nil {
			return err
		}
	}
	for len(p.listen) < which.Servers {
		another, err := p.StartAPIServer(ctx, "LOG_LEVEL=warn")
		if err != nil {
			return err
		}
		p.listen = append(p.listen, strings.TrimPrefix(another.URL, "http://"))
	}
	return nil
}

// returnPlaces lets the place of a cancelled coupon go back to stock.
func (p *product) returnPlaces(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, p.Server.Admin+"/admin/v1/campaigns/"+p.id,
		bytes.NewReader([]byte(`{"restock_on_cancel":true}`)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("If-Match", "*")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("places that return: %s: %s", response.Status, body)
	}
	return nil
}

// crash kills the first api-server and the consumer, both at once, and starts them again.
func (p *product) crash(ctx context.Context) error {
	for _, victim := range p.victims {
		if err := victim.Kill(); err != nil {
			return err
		}
	}
	p.died = true
	for _, victim := range p.victims {
		if err := victim.Restart(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *product) crashed(context.Context) (bool, error) { return p.died, nil }

func (p *product) addresses() []string { return p.listen }

func (p *product) campaign() string { return p.id }

func (p *product) rest(ctx context.Context, promised int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	rest, err := drop.WaitForRest(ctx, p.DB, p.id, drop.Wait{Rows: int64(promised), Backlog: p.underWay})
	return rest.LastRow, err
}

// underWay counts the claims that the log has not acknowledged, and then what the consumers have not finished: what leaves
// the one is seen in the other.
func (p *product) underWay(ctx context.Context) (int64, error) {
	var epoch int64
	if err := p.DB.QueryRowContext(ctx, `SELECT epoch FROM campaigns WHERE slug = ?`, p.id).Scan(&epoch); err != nil {
		return 0, err
	}
	claims, err := redisstock.New(p.redis).Snapshot(ctx, p.id, epoch)
	if err != nil {
		return 0, err
	}
	backlog, err := p.Backlog(ctx)
	return claims.Pending + backlog, err
}

func (p *product) record(ctx context.Context) (r Record, err error) {
	const of = ` WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?)`
	coupons, err := column(ctx, p.DB, `SELECT CONCAT(serial, ' ', user_id) FROM coupons`+of+` AND status = 'active' ORDER BY serial`, p.id)
	if err != nil {
		return Record{}, err
	}
	r.Serials = map[string]int64{}
	for _, coupon := range coupons {
		serial, user, _ := strings.Cut(coupon, " ")
		r.Rows = append(r.Rows, user)
		if r.Serials[user], err = strconv.ParseInt(serial, 10, 64); err != nil {
			return Record{}, err
		}
	}
	r.Counted = new(int)
	return r, p.DB.QueryRowContext(ctx, `SELECT issued FROM campaigns WHERE slug = ?`, p.id).Scan(r.Counted)
}

// stats are not known of the product.
func (p *product) stats() serve.Stats { return serve.Stats{} }

func (p *product) close() error {
	var failed error
	if p.redis != nil {
		failed = p.redis.Close()
	}
	return errors.Join(failed, p.Close())
}
