-- +goose Up

-- What ran, when, and how it ended. A row with no finished_at is running or was killed.
CREATE TABLE IF NOT EXISTS batch_runs (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    job         VARCHAR(40)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    started_at  DATETIME(6)     NOT NULL,
    finished_at DATETIME(6)     NULL,
    ok          TINYINT(1)      NULL,
    summary     MEDIUMTEXT      CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- JSON
    PRIMARY KEY (id),
    KEY batch_runs_job (job, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS batch_runs;
