// Package migrations holds the schema of the database as numbered SQL files.
package migrations

import "embed"

// FS holds the goose migrations, one *.sql file each, at its root. A file makes one table, and makes it only if it is not
// there: DDL cannot be rolled back, so a migration that was killed before it was recorded is simply run again.
//
//go:embed *.sql
var FS embed.FS
