package mysqlstore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// ?cursor= of GET /admin/v1/campaigns reaches the database as it came.
func TestReviewAnyCursorIsJustACursor(t *testing.T) {
	b := setup(t)
	for _, cursor := range []string{"é", "\xff"} {
		_, err := b.Campaigns(t.Context(), cursor, 10)
		require.NoError(t, err)
	}
}
