package soldout

import (
	"context"
	"log/slog"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// sold is a Redis that has given all places of an epoch away, and tells page by page to whom.
type sold struct{ epoch, hi int64 }

func (s *sold) Holders(_ context.Context, ref coupon.EpochRef, hi int64, cursor uint64) ([]coupon.Key, int64, uint64, error) {
	const step = 1000
	if ref.Epoch != s.epoch || hi != s.hi {
		return nil, 0, 0, errAway
	}
	end := min(int64(cursor)+step, hi)
	page := make([]coupon.Key, 0, step)
	for i := int64(cursor); i < end; i++ {
		page = append(page, holder(s.epoch, i))
	}
	return page, hi, uint64(end % hi), nil
}

func holder(epoch, i int64) coupon.Key {
	return key(strconv.FormatInt(epoch, 10) + "-" + strconv.FormatInt(i, 10))
}

// million is the memory of a campaign that is sold out to a million.
type million struct {
	*bench
	redis *sold
	empty int64 // bytes on the heap when nothing was remembered
}

func newMillion() *million {
	m := &million{bench: newBench()}
	m.c.Hi = 1_000_000
	m.redis = &sold{m.c.Epoch, m.c.Hi}
	m.start()
	m.empty = heap()
	return m
}

// start is a process that starts.
func (m *million) start() {
	m.loader = NewLoader(m.redis, slog.New(slog.DiscardHandler))
	m.Memory = m.loader.Memory()
}

// sellsOut has Redis say so before its holders are known, and after.
func (m *million) sellsOut(t *testing.T) {
	t.Helper()
	soldOut := coupon.Decision{Verdict: coupon.RefusedSoldOut, Hi: m.redis.hi}
	m.hears(soldOut)
	require.False(t, m.refuses("stranger"), "not all holders are known")
	pass(time.Second)
	m.hears(soldOut)
}

// requireSound asks for every so many holders, and the last of them, and for as many who hold nothing.
func (m *million) requireSound(t *testing.T, every int64) {
	t.Helper()
	const neverOpened = 0
	wrong := 0
	for i := int64(0); i < m.redis.hi; i += every {
		if m.Refuses(&m.c, m.now, m.now, holder(m.redis.epoch, i)) {
			wrong++
		}
		if !m.Refuses(&m.c, m.now, m.now, holder(neverOpened, i)) {
			wrong++
		}
	}
	require.Zero(t, wrong, "holders refused, or strangers not")
	require.False(t, m.Refuses(&m.c, m.now, m.now, holder(m.redis.epoch, m.redis.hi-1)))
}

// noise is what the heap of a process that does nothing else may grow by, and what large blocks are rounded up by: 8 KB.
const noise = 128 << 10

// requireEightBytesEach allows for the room there is for holders who are told twice.
func (m *million) requireEightBytesEach(t *testing.T) {
	t.Helper()
	require.Equal(t, m.redis.hi+slack, m.taken())
	require.LessOrEqual(t, m.grown(), 8*(m.redis.hi+slack)+noise)
}

func (m *million) requireNothing(t *testing.T) {
	t.Helper()
	require.False(t, m.refuses("stranger"))
	require.Zero(t, m.taken())
	require.LessOrEqual(t, m.grown(), int64(noise))
}

// taken is how many hashes the loader counts.
func (m *million) taken() int64 {
	m.loader.mu.Lock()
	defer m.loader.mu.Unlock()
	return room - m.loader.room
}

func (m *million) grown() int64 { return heap() - m.empty }

// heap is what is in use, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool holds goes the second time
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A million holders take 8 bytes each and never more, and none of them is refused, whatever happens to their campaign.
func TestAMillionHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMillion()
		m.sellsOut(t)
		m.requireSound(t, 1)
		m.requireEightBytesEach(t)

		// The limit is raised: the view knows first.
		m.c.Hi += 1000
		require.False(t, m.refuses("stranger"))
		m.hears(coupon.Decision{Verdict: coupon.RefusedSoldOut, Hi: m.redis.hi})
		m.requireNothing(t)
		m.redis.hi = m.c.Hi
		m.sellsOut(t)
		m.requireSound(t, 97)
		m.requireEightBytesEach(t)

		// The campaign is rebuilt: the next epoch has holders of its own.
		before := m.redis.epoch
		m.c.Epoch++
		require.False(t, m.refuses("stranger"))
		m.redis.epoch = m.c.Epoch
		m.sellsOut(t)
		m.requireSound(t, 97)
		require.True(t, m.refuses(holder(before, 0).User))
		m.requireEightBytesEach(t)

		// Nobody asks for a while. Then another process is asked.
		pass(2 * idle)
		m.now = time.Now()
		m.requireNothing(t)
		m.start()
		m.sellsOut(t)
		m.requireSound(t, 97)
		m.requireEightBytesEach(t)

		// The campaign is closed: it is no longer sold out but over.
		m.c.Status = coupon.CampaignClosed
		require.False(t, m.refuses("stranger"))
		m.hears(coupon.Decision{Verdict: coupon.RefusedEnded})
		m.requireNothing(t)
	})
}
