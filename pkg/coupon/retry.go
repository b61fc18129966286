package coupon

import "time"

// MaxAttempts is how often a failed event is retried before it is parked.
const MaxAttempts = 12

const (
	firstDelay   = 5 * time.Second
	longestDelay = time.Hour
)

// NextAttempt returns when a failed event that has now been tried attempts times is due again, or parked = true when it
// is out of attempts. The delay is min(2^attempts · 5 s, 1 h); jitter in [0, 1) takes up to half of it away, so that
// events that failed together do not come back together.
func NextAttempt(attempts int, now time.Time, jitter float64) (due time.Time, parked bool) {
	if attempts >= MaxAttempts {
		return now, true
	}
	delay := longestDelay
	if attempts < 10 { // 2^10 · 5 s is past the longest delay
		delay = min(firstDelay<<attempts, longestDelay)
	}
	return now.Add(delay - time.Duration(jitter*float64(delay)/2)), false
}
