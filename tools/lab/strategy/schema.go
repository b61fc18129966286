package strategy

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// schema is the same for all, but for the unique key, so that speeds compare.
var schema = []string{
	`CREATE TABLE campaign (id INT PRIMARY KEY, quota INT NOT NULL, granted INT NOT NULL DEFAULT 0,
		version BIGINT NOT NULL DEFAULT 0, fence BIGINT NOT NULL DEFAULT 0)`,
	`CREATE TABLE points (user VARCHAR(64) PRIMARY KEY, points INT NOT NULL, grade INT NOT NULL,
		version BIGINT NOT NULL DEFAULT 0, fence BIGINT NOT NULL DEFAULT 0)`,
	`CREATE TABLE answers (request VARCHAR(64) PRIMARY KEY, outcome VARCHAR(32) NOT NULL)`,
	`CREATE TABLE outbox (id BIGINT AUTO_INCREMENT PRIMARY KEY, user VARCHAR(64) NOT NULL)`,
	`CREATE TABLE rewards (call_id VARCHAR(64) PRIMARY KEY, user VARCHAR(64) NOT NULL)`,
}

// Prepare makes the tables of a strategy in an empty database, with a campaign of one place for each of limit users.
func Prepare(ctx context.Context, db *sql.DB, spec Spec, limit int) error {
	key := "KEY (user)"
	if spec.Unique {
		key = "UNIQUE KEY (user)"
	}
	grants := `CREATE TABLE grants (id BIGINT AUTO_INCREMENT PRIMARY KEY, user VARCHAR(64) NOT NULL, ` + key + `)`
	campaign := fmt.Sprintf(`INSERT INTO campaign (id, quota) VALUES (1, %d)`, limit)
	for _, statement := range slices.Concat(schema, []string{grants, campaign}) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}
