package reconcile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A batch is parked as transient_exhausted, the consumer is killed before it commits its offsets, and the redelivery makes
// the rows: until retry-failed ran, each claim is a row and a pending failed event.
func TestReviewARowWithItsFailedEventStillOpenIsNoDifference(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 3)
	claims := b.claim(3, 1)
	b.park(claims[0])
	b.issue(claims)
	b.forget(claims)
	result := b.run(0)
	require.Empty(t, result.Campaigns[0].Differences)
}
