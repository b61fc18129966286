package measure

import (
	"errors"
	"image/color"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/seonchak/seonchak/tools/load/told"
)

const (
	width, height = 7 * vg.Inch, 4 * vg.Inch
	lineWidth     = 1.5
)

// colors are one for each kind, told apart by people who see few colours, too.
var colors = [told.Kinds]color.RGBA{
	told.Accepted: {0, 158, 115, 255}, told.Issued: {0, 90, 60, 255}, told.Replayed: {86, 180, 233, 255},
	told.SoldOut: {0, 114, 178, 255}, told.Pending: {240, 200, 40, 255}, told.Overloaded: {230, 159, 0, 255},
	told.Other: {213, 94, 0, 255}, told.Unknown: {0, 0, 0, 255},
}

// WriteSVG writes latency.svg, the percentiles of each kind, and answers.svg, the answers of each second, into a folder.
func (r Result) WriteSVG(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return errors.Join(
		r.draw(filepath.Join(dir, "latency.svg"), r.latencyChart(), r.percentiles),
		r.draw(filepath.Join(dir, "answers.svg"), r.answersChart(), r.bySecond),
	)
}

// draw writes a chart with one line for each kind that occurred.
func (r Result) draw(path string, chart *plot.Plot, points func(told.Kind) plotter.XYs) error {
	chart.Legend.Top, chart.Legend.Left = true, true
	for kind := range told.Kinds {
		if r.Count(kind) == 0 {
			continue
		}
		line, err := plotter.NewLine(points(kind))
		if err != nil {
			return err
		}
		line.Color, line.Width = colors[kind], vg.Points(lineWidth)
		chart.Add(line)
		chart.Legend.Add(kind.String(), line)
	}
	return chart.Save(width, height, path)
}

func (r Result) latencyChart() *plot.Plot {
	chart := plot.New()
	chart.Title.Text = "Latency from the intended time"
	chart.X.Label.Text, chart.Y.Label.Text = "percent of the answers", "ms"
	chart.Y.Scale, chart.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	chart.X.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0"}, {Value: 1, Label: "90"}, {Value: 2, Label: "99"}, {Value: 3, Label: "99.9"}, {Value: 4, Label: "99.99"},
	}
	chart.Add(plotter.NewGrid())
	return chart
}

// percentiles gives each nine of the percentage the same room: the tail is what people wait for.
func (r Result) percentiles(kind told.Kind) (points plotter.XYs) {
	const steps = 20 // a nine
	h := r.Latency[kind]
	for i := range 4*steps + 1 {
		left := math.Pow(10, -float64(i)/steps)
		if left*float64(h.TotalCount()) < 1 {
			break
		}
		points = append(points, plotter.XY{X: float64(i) / steps, Y: max(h.Milliseconds(100*(1-left)), 0.001)})
	}
	return points
}

func (r Result) answersChart() *plot.Plot {
	chart := plot.New()
	chart.Title.Text = "Answers"
	chart.X.Label.Text, chart.Y.Label.Text = "s", "answers in the second"
	chart.Y.Min = 0
	chart.Add(plotter.NewGrid())
	return chart
}

func (r Result) bySecond(kind told.Kind) (points plotter.XYs) {
	for second, counts := range r.Seconds {
		points = append(points, plotter.XY{X: float64(second), Y: float64(counts[kind])})
	}
	return points
}
