-- +goose Up

-- One row, and nothing in it: whoever holds its lock is the warden that fences and rebuilds.
CREATE TABLE IF NOT EXISTS wardens (
    id TINYINT UNSIGNED NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO wardens (id) SELECT 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM wardens);

-- +goose Down
DROP TABLE IF EXISTS wardens;
