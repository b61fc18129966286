package world

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/seonchak/seonchak/tools/procs"
)

// network is the proxies.
type network struct {
	server *toxiproxy.ApiServer // never listens; the proxies want its logger and metrics
	links  []*Link
}

func newNetwork() *network {
	metrics := toxiproxy.NewMetricsContainer(prometheus.NewRegistry())
	return &network{server: toxiproxy.NewServer(metrics, zerolog.Nop())}
}

// door is where a proxy stands: clients come to front, and go on to behind. An empty front is any free address.
type door struct{ front, behind string }

func newDoor() (d door, err error) {
	if d.front, err = procs.FreeAddress(); err != nil {
		return d, err
	}
	d.behind, err = procs.FreeAddress()
	return d, err
}

// Link is a way from a program to a store.
type Link struct {
	Address string // of the near end
	proxy   *toxiproxy.Proxy
}

func (n *network) link(name string, between door) (l *Link, err error) {
	if between.front == "" {
		if between.front, err = procs.FreeAddress(); err != nil {
			return nil, err
		}
	}
	l = &Link{Address: between.front, proxy: toxiproxy.NewProxy(n.server, name, between.front, between.behind)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("start the proxy %s: %w", name, err)
	}
	n.links = append(n.links, l)
	return l, nil
}

func (n *network) close() {
	for _, l := range n.links {
		l.proxy.Stop()
	}
}

// Trouble is what a link can suffer.
type Trouble string

// The troubles of a link.
const (
	Slow      Trouble = "slow"      // 300 ms more, each way
	Reset     Trouble = "reset"     // connections are reset, new ones too
	Blackhole Trouble = "blackhole" // bytes vanish both ways, connections stay
	HalfOpen  Trouble = "half-open" // requests arrive, answers vanish
	Cut       Trouble = "cut"       // connections are refused, and those there are end
)

// Troubles are those that leave the port open.
var Troubles = []Trouble{Slow, Reset, Blackhole, HalfOpen}

const latencyMS = 300

type toxic struct {
	Type       string           `json:"type"`
	Stream     string           `json:"stream"`
	Attributes map[string]int64 `json:"attributes"`
}

var toxics = map[Trouble][]toxic{
	Slow: {
		{"latency", "upstream", map[string]int64{"latency": latencyMS}},
		{"latency", "downstream", map[string]int64{"latency": latencyMS}},
	},
	Reset:     {{"reset_peer", "downstream", map[string]int64{"timeout": 0}}},
	Blackhole: {{"timeout", "upstream", map[string]int64{"timeout": 0}}, {"timeout", "downstream", map[string]int64{"timeout": 0}}},
	HalfOpen:  {{"timeout", "downstream", map[string]int64{"timeout": 0}}},
}

// Break makes trouble on the link until Mend.
func (l *Link) Break(t Trouble) error {
	if t == Cut {
		l.proxy.Stop()
		return nil
	}
	for _, x := range toxics[t] {
		text, err := json.Marshal(x)
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			return fmt.Errorf("break %s: %w", l.proxy.Name, err)
		}
	}
	return nil
}

// Mend ends all trouble.
func (l *Link) Mend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mendBound)
	defer cancel()
	l.proxy.Toxics.ResetToxics(ctx)
	if l.proxy.Enabled {
		return nil
	}
	return l.listenAgain(ctx)
}

const mendBound = 5 * time.Second

// Point leads the link to another server; connections end.
func (l *Link) Point(ctx context.Context, behind string) error {
	ctx, cancel := context.WithTimeout(ctx, mendBound)
	defer cancel()
	if err := l.proxy.Update(&toxiproxy.Proxy{Listen: l.proxy.Listen, Upstream: behind}); err != nil {
		return err
	}
	return l.listenAgain(ctx)
}

// listenAgain tries until it succeeds: a program that is being started holds the old listener until its exec.
func (l *Link) listenAgain(ctx context.Context) error {
	return Await(ctx, "the proxy "+l.proxy.Name+" listens again", func() bool { return l.proxy.Start() == nil })
}
