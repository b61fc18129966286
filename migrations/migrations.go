// Package migrations holds the schema of the database as numbered SQL files.
package migrations

import "embed"

// FS holds the goose migrations, one *.sql file each, at its root.
//
//go:embed *.sql
var FS embed.FS
