package mysqlstore

import (
	"database/sql"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
)

// Every migration can be taken back, and applied again to what taking back left behind.
func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	db, provider := emptyDatabase(t)

	up, err := provider.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, up, len(provider.ListSources()))
	down, err := provider.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, down, len(up))
	var tables int
	require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM information_schema.tables "+
		"WHERE table_schema = DATABASE() AND table_name <> 'goose_db_version'").Scan(&tables))
	require.Zero(t, tables, "down leaves nothing behind")
	again, err := provider.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, again, len(up))
}

// A migration that was killed between its DDL and its record is run again.
func TestMigrationsKilledHalfway(t *testing.T) {
	t.Parallel()
	db, provider := emptyDatabase(t)
	for _, source := range provider.ListSources() {
		_, err := provider.ApplyVersion(t.Context(), source.Version, true)
		require.NoError(t, err)
		_, err = db.Exec("DELETE FROM goose_db_version WHERE version_id = ?", source.Version)
		require.NoError(t, err)
	}
	up, err := provider.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, up, len(provider.ListSources()))
}

func emptyDatabase(t *testing.T) (*sql.DB, *goose.Provider) {
	t.Helper()
	dsn := testenv.EmptyDatabase(t)
	config, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	return openPlain(t, config), testenv.Migrations(t, dsn)
}
