package stage

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
)

func TestRowsThatDoNotComeAreAnError(t *testing.T) {
	t.Parallel()
	db, err := drop.Open(testenv.MySQL(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	campaign := testenv.Campaign()
	done := func(context.Context) (int64, error) { return 0, nil }
	require.NoError(t, awaitRows(t.Context(), db, campaign, drop.Wait{Backlog: done}))
	require.ErrorContains(t, awaitRows(t.Context(), db, campaign, drop.Wait{Rows: 3, Backlog: done}), "0 rows of 3")
}
