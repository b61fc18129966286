package trial

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

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
	id     string
	listen []string
	died   bool
}

func startProduct(ctx context.Context, stores procs.Stores, bin, logs string, which Case) (*product, error) {
	up, err := stage.New(ctx, stage.Options{Stores: stores, Bin: bin, Logs: logs})
	if err != nil {
		return nil, err
	}
	p := &product{Stage: up, listen: []string{up.Address()}}
	return p, p.open(ctx, which)
}

func (p *product) open(ctx context.Context, which Case) (err error) {
	env := []string{"LOG_LEVEL=warn"}
	if which.Strategy == PipelinePaced {
		env = append(env, pace)
	}
	if _, err = p.StartConsumer(ctx, env...); err != nil {
		return err
	}
	if p.id, err = p.Open(ctx, which.Limit); err != nil {
		return err
	}
	if which.Workload == Booking {
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

// crash kills the first server and starts it again.
func (p *product) crash(ctx context.Context) error {
	if err := p.Server.Kill(); err != nil {
		return err
	}
	p.died = true
	return p.Server.Restart(ctx)
}

func (p *product) crashed(context.Context) (bool, error) { return p.died, nil }

func (p *product) addresses() []string { return p.listen }

func (p *product) campaign() string { return p.id }

func (p *product) rest(ctx context.Context, promised int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	rest, err := drop.WaitForRest(ctx, p.DB, p.id, drop.Wait{Rows: int64(promised), Backlog: p.Backlog, Quiet: 2 * time.Second})
	return rest.LastRow, err
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

func (p *product) close() error { return p.Close() }
