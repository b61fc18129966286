package report

import (
	"cmp"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/seonchak/seonchak/tools/load/compare"
	"github.com/seonchak/seonchak/tools/load/floor"
)

// chart is one picture.
type chart struct {
	file, title, x, y string
	logX, logY        bool
	lines             []line
	drawn             bool
}

// line is one line of a chart.
type line struct {
	name   string
	points plotter.XYs
	errors plotter.YErrors // how far the rounds lie below and above each point; none where there was one
}

func (l *line) add(x, y float64) { l.points = append(l.points, plotter.XY{X: x, Y: y}) }

// addSpread adds a point at the median of rounds.
func (l *line) addSpread(x float64, s compare.Spread) {
	l.add(x, s.Median)
	l.errors = append(l.errors, struct{ Low, High float64 }{s.Median - s.Min, s.Max - s.Median})
}

const width, height = 7 * vg.Inch, 4 * vg.Inch

// colors can be told apart by people who see few of them.
var colors = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {0, 0, 0, 255}}

// draw writes the charts for which there are points, and returns all.
func (m *Measurements) draw(dir string) ([]chart, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // documents, for everybody to read
		return nil, err
	}
	charts := []chart{m.latencies(), m.callers(), m.drain(), m.footprint(), m.costs()}
	for i := range charts {
		c := &charts[i]
		c.lines = slices.DeleteFunc(c.lines, func(l line) bool { return len(l.points) == 0 })
		if len(c.lines) == 0 {
			continue
		}
		if err := c.save(dir); err != nil {
			return nil, err
		}
		c.drawn = true
	}
	return charts, nil
}

func (c *chart) save(dir string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
	p.Legend.Top, p.Legend.Left = true, true
	if c.logX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if c.logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	p.Add(plotter.NewGrid())
	for i, l := range c.lines {
		drawn, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return err
		}
		drawn.Color, drawn.Width = colors[i%len(colors)], vg.Points(1.5)
		points.Color, points.Shape, points.Radius = drawn.Color, draw.CircleGlyph{}, vg.Points(1.5)
		p.Add(drawn, points)
		p.Legend.Add(l.name, drawn)
		if len(l.errors) == 0 {
			continue
		}
		bars, err := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{l.points, l.errors})
		if err != nil {
			return err
		}
		bars.Color = drawn.Color
		p.Add(bars)
	}
	return p.Save(width, height, filepath.Join(dir, c.file))
}

// latencies are of the file "curve".
func (m *Measurements) latencies() chart {
	half, tail, alone := line{name: "p50 of accepted"}, line{name: "p99 of accepted"}, line{name: "p99 of the producer alone"}
	for _, r := range m.comparisons["curve"].Rows {
		if r.Share == 0 || r.Floor != floor.Own {
			continue
		}
		half.addSpread(r.Offered, spread(r.Rounds, func(r compare.Round) float64 { return 1000 * r.P50.Seconds() }))
		tail.addSpread(r.Offered, spread(r.Rounds, p99))
		alone.addSpread(r.Offered, spread(r.FloorRounds, p99))
	}
	return chart{
		file: "latency.svg", title: "Latency against offered load, counted from the intended time", x: "applies offered a second", y: "ms", logY: true,
		lines: []line{half, tail, alone},
	}
}

func p99(r compare.Round) float64 { return 1000 * r.P99.Seconds() }

func (m *Measurements) callers() chart {
	grants, floor := line{name: "grants"}, line{name: "bare gin"}
	for _, one := range m.numbered(callersFile, compare.Grant) {
		grants.addSpread(float64(one.number), spread(one.row.Rounds, compare.Round.Rate))
		floor.addSpread(float64(one.number), spread(one.row.FloorRounds, compare.Round.Rate))
	}
	return chart{
		file: "callers.svg", title: "Throughput against callers", x: "connections, each with one apply at a time", y: "a second", logX: true,
		lines: []line{grants, floor},
	}
}

func (m *Measurements) drain() chart {
	promised, issued := line{name: "promised"}, line{name: "rows"}
	if row := m.row(compare.Drain, of(compare.Drain)); row != nil {
		for _, moment := range row.Rounds[len(row.Rounds)-1].Course {
			promised.add(moment.Promised.Seconds(), 100*moment.Share)
			issued.add(moment.Issued.Seconds(), 100*moment.Share)
		}
	}
	return chart{
		file: "drain.svg", title: "Promises and rows after a drop of 10,000 coupons", x: "s after the first promise", y: "percent of the coupons",
		lines: []line{promised, issued},
	}
}

func (m *Measurements) footprint() chart {
	const mega = 1e6
	pending, settled := line{name: "all pending"}, line{name: "all settled"}
	if m.memory != nil {
		for _, p := range m.memory.Curve {
			pending.add(float64(p.Claims), float64(p.Pending)/mega)
			if p.Settled > 0 {
				settled.add(float64(p.Claims), float64(p.Settled)/mega)
			}
		}
	}
	return chart{
		file: "memory.svg", title: "Memory of Redis against claims, names of 36 characters", x: "claims", y: "MB", lines: []line{pending, settled},
	}
}

// costs are of the longest curve there is.
func (m *Measurements) costs() chart {
	cost := line{name: "a claim"}
	if longest := cmp.Or(m.claims, m.memory); longest != nil {
		for _, p := range longest.Curve {
			cost.add(float64(p.Claims), micro(p.Cost))
		}
	}
	return chart{
		file: "cost.svg", title: "Processor time of Redis for a claim, none of them settled", x: "claims", y: "µs", logX: true, lines: []line{cost},
	}
}
