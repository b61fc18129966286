package memory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// used reads used_memory once it stands still: a hash table that grows is two tables for a while.
func used(ctx context.Context, client *redis.Client) (last int64, err error) {
	const looks, poll, still = 8, 25 * time.Millisecond, 64 << 10
	for same := 0; same < looks; {
		told := client.InfoMap(ctx, "memory")
		now, err := item(told, "Memory", "used_memory")
		if err != nil {
			return 0, err
		}
		if same++; max(int64(now)-last, last-int64(now)) > still {
			same = 0
		}
		last = int64(now)
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(poll):
		}
	}
	return last, nil
}

// spent is what Redis has used so far. The processor time is its own, not that of the processes that it forked.
type spent struct {
	processor time.Duration
	forks     int64
	fork      time.Duration // of the last one
}

func spentBy(ctx context.Context, client *redis.Client) (spent, error) {
	told := client.InfoMap(ctx)
	system, err1 := item(told, "CPU", "used_cpu_sys")
	user, err2 := item(told, "CPU", "used_cpu_user")
	forks, err3 := item(told, "Stats", "total_forks")
	fork, err4 := item(told, "Stats", "latest_fork_usec")
	return spent{
		processor: time.Duration((system + user) * float64(time.Second)),
		forks:     int64(forks), fork: time.Duration(fork) * time.Microsecond,
	}, errors.Join(err1, err2, err3, err4)
}

func item(told *redis.InfoCmd, section, name string) (float64, error) {
	if err := told.Err(); err != nil {
		return 0, err
	}
	value, err := strconv.ParseFloat(told.Item(section, name), 64)
	if err != nil {
		return 0, fmt.Errorf("INFO says of %s: %w", name, err)
	}
	return value, nil
}
