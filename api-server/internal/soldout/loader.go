package soldout

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	// room is how many hashes are kept of all campaigns together: 64 MB.
	room = 8 << 20

	stepBound = time.Second // of one step of loading
	// restFactor is how many times longer than a step took the loader rests before the next: what one load takes of Redis
	// is a fifth at most, and less the busier Redis is.
	restFactor = 4
)

var (
	errNoRoom     = errors.New("the holders of other campaigns take all the room there is")
	errIncomplete = errors.New("not all holders were read")
)

// source reads the holders of a sold-out epoch page by page: a cursor of 0 begins, a next of 0 ends. Every page must be
// refused unless the epoch is sold out at that hi at its instant; total is how many holders there are then. Some may come
// twice.
type source interface {
	Holders(ctx context.Context, ref coupon.EpochRef, hi int64, cursor uint64) (page []coupon.Key, total int64, next uint64, err error)
}

// Loader loads the holders of all campaigns, and bounds what they take together.
type Loader struct {
	source source
	seed   maphash.Seed
	logger *slog.Logger

	mu   sync.Mutex
	room int64 // how many more hashes may be kept
}

// NewLoader returns a Loader that reads from source.
func NewLoader(source source, logger *slog.Logger) *Loader {
	return &Loader{source: source, seed: maphash.MakeSeed(), logger: logger, room: room}
}

// Memory returns the memory of one campaign, which remembers nothing yet.
func (l *Loader) Memory() *Memory { return &Memory{loader: l} }

// load reads all holders. It is given up with the first step that fails: Redis is no longer as it was, or away.
func (l *Loader) load(about soldOut) (*holders, error) {
	began := time.Now()
	found, err := l.read(about)
	if err != nil {
		l.logger.Debug("holders of a sold-out campaign are not loaded", "campaign", about.ref.Campaign, "error", err)
		return nil, err
	}
	l.logger.Info("holders of a sold-out campaign are loaded: others are refused from memory",
		"campaign", about.ref.Campaign, "epoch", about.ref.Epoch, "holders", len(found.hashes), "took", time.Since(began).String())
	return found, nil
}

func (l *Loader) read(about soldOut) (*holders, error) {
	began := time.Now()
	page, total, next, err := l.step(about, 0)
	if err != nil {
		return nil, err
	}
	if !l.take(space(total)) {
		return nil, errNoRoom
	}
	found, err := l.readOn(about, page, total, next, time.Since(began))
	if err != nil {
		l.give(space(total))
	}
	return found, err
}

// readOn reads what is left after the first page.
func (l *Loader) readOn(about soldOut, page []coupon.Key, total int64, next uint64, took time.Duration) (*holders, error) {
	gathered := gather(l.seed, total)
	for {
		if !gathered.add(page) {
			return nil, errIncomplete
		}
		if next == 0 {
			break
		}
		<-time.After(restFactor * took)
		began := time.Now()
		var err error
		if page, _, next, err = l.step(about, next); err != nil {
			return nil, err
		}
		took = time.Since(began)
	}
	found, all := gathered.holders(total)
	if !all {
		return nil, fmt.Errorf("%w: %d of %d", errIncomplete, len(found.hashes), total)
	}
	return found, nil
}

func (l *Loader) step(about soldOut, cursor uint64) (page []coupon.Key, total int64, next uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), stepBound)
	defer cancel()
	return l.source.Holders(ctx, about.ref, about.hi, cursor)
}

// take reserves room, and reports whether there was as much.
func (l *Loader) take(hashes int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if hashes > l.room {
		return false
	}
	l.room -= hashes
	return true
}

func (l *Loader) give(hashes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room += hashes
}

// release gives back the room of holders that are forgotten; there may be none.
func (l *Loader) release(h *holders) {
	if h != nil {
		l.give(int64(cap(h.hashes)))
	}
}
