package report

import (
	"cmp"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/seonchak/seonchak/tools/lab/trial"
)

const (
	width, height = 9 * vg.Inch, 5 * vg.Inch
	lineWidth     = 1.5
)

// draw writes the plots into a folder.
func draw(dir string, all []trial.Result) error {
	p := &page{all: all}
	var exact, others, wrong []string
	for _, name := range Names() {
		switch {
		case p.exact(name):
			exact = append(exact, name)
		case p.right(name):
			others = append(others, name)
		default:
			others, wrong = append(others, name), append(wrong, name)
		}
	}
	return errors.Join(
		drawThroughput(filepath.Join(dir, "throughput-exact.svg"), "Answers per second of the exact ones", all, exact),
		drawThroughput(filepath.Join(dir, "throughput-others.svg"), "Answers per second of the others", all, others),
		drawErrors(filepath.Join(dir, "errors.svg"), all, wrong),
	)
}

// drawThroughput draws the drop at one server against the connections.
func drawThroughput(path, title string, all []trial.Result, names []string) error {
	chart := plot.New()
	chart.Title.Text, chart.X.Label.Text, chart.Y.Label.Text = title, "at once", "answers/s"
	chart.X.Scale, chart.X.Tick.Marker = plot.LogScale{}, sweepTicks()
	chart.Y.Scale, chart.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	chart.X.Min, chart.X.Max = float64(trial.Sweep[0]), 3_000 // room for the names
	chart.Y.Min, chart.Y.Max = 10, 10_000                     // at least
	chart.Legend.Top = true
	chart.Add(plotter.NewGrid())
	for i, name := range names {
		points := throughput(all, name)
		if len(points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Dashes, line.Width = plotutil.Color(i), plotutil.Dashes(i/len(plotutil.DefaultColors)), vg.Points(lineWidth)
		dots.Color, dots.Shape = plotutil.Color(i), plotutil.Shape(i)
		chart.Add(line, dots)
		chart.Legend.Add(name, line, dots)
	}
	return chart.Save(width, height, path)
}

func sweepTicks() (ticks plot.ConstantTicks) {
	for _, connections := range trial.Sweep {
		ticks = append(ticks, plot.Tick{Value: float64(connections), Label: strconv.Itoa(connections)})
	}
	return ticks
}

// throughput leaves out where nobody had an answer: the scale has no 0.
func throughput(all []trial.Result, name string) (points plotter.XYs) {
	for _, r := range sweep(all, name) {
		if r.PerSecond > 0 {
			points = append(points, plotter.XY{X: float64(r.Connections), Y: r.PerSecond})
		}
	}
	return points
}

// sweep returns the drops of a strategy at one server, in the order of their connections.
func sweep(all []trial.Result, name string) (drops []trial.Result) {
	for _, r := range all {
		if r.Strategy == name && r.Workload == trial.Drop && r.Servers == 1 && !r.Crash {
			drops = append(drops, r)
		}
	}
	slices.SortFunc(drops, func(a, b trial.Result) int { return cmp.Compare(a.Connections, b.Connections) })
	return drops
}

// drawErrors draws the errors of all trials, each kind with a bar of its own; a decade takes the same room.
// Where nothing was wrong the plot is empty.
func drawErrors(path string, all []trial.Result, names []string) error {
	chart := plot.New()
	chart.Title.Text, chart.Y.Label.Text = "Errors by kind, all trials together", "cases"
	chart.Y.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0"},
		{Value: decades(1), Label: "1"},
		{Value: decades(10), Label: "10"},
		{Value: decades(100), Label: "100"},
		{Value: decades(1_000), Label: "1,000"},
		{Value: decades(10_000), Label: "10,000"},
		{Value: decades(100_000), Label: "100,000"},
	}
	chart.Legend.Top = true
	if len(names) == 0 {
		return chart.Save(width, height, path)
	}
	chart.NominalX(names...)
	chart.X.Tick.Label.Rotation, chart.X.Tick.Label.XAlign, chart.X.Tick.Label.YAlign = math.Pi/6, -1, -0.5
	bar := vg.Points(5)
	for i, kind := range kinds {
		values := make(plotter.Values, len(names))
		for at, name := range names {
			n := 0
			for _, r := range all {
				if r.Strategy == name {
					n += kind.of(r.Verdict)
				}
			}
			values[at] = decades(n)
		}
		bars, err := plotter.NewBarChart(values, bar)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width, bars.Offset = plotutil.Color(i), 0, bar*vg.Length(2*i-len(kinds)+1)/2
		chart.Add(bars)
		chart.Legend.Add(kind.name, bars)
	}
	return chart.Save(width, height, path)
}

func decades(n int) float64 { return math.Log10(1 + float64(n)) }
