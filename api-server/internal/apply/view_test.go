package apply

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// sluggish takes its time over the first view.
type sluggish struct{ reads }

func (s *sluggish) View(ctx context.Context) ([]coupon.Campaign, error) {
	if s.views.Load() == 0 {
		time.Sleep(3 * refreshEvery / 2) //nolint:forbidigo // the bubble's fake clock
	}
	return s.reads.View(ctx)
}

// What was due during a slow read, the next tick and a reload, is one read after it, not two.
func TestOneRefreshServesWhoeverAskedBeforeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sluggish{}
		view := NewView(s, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var loop sync.WaitGroup
		loop.Go(func() { view.Run(ctx) })
		time.Sleep(refreshEvery + refreshEvery/4) //nolint:forbidigo // the bubble's fake clock
		view.Reload()
		time.Sleep(refreshEvery + refreshEvery/2) //nolint:forbidigo // the bubble's fake clock
		require.EqualValues(t, 2, s.views.Load())
		cancel()
		loop.Wait()
	})
}
