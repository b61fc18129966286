-- +goose Up

-- Every change of a campaign's stock after it was created. The unique ref makes a return happen exactly once.
CREATE TABLE IF NOT EXISTS stock_ledger (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    campaign_id INT UNSIGNED    NOT NULL,
    kind        ENUM('raise', 'lower', 'return') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    delta       BIGINT          NOT NULL, -- places: raise and return add, lower takes
    ref         VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NULL, -- of a return: what gave its place back
    reason      VARCHAR(500)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    actor       VARCHAR(128)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    created_at  DATETIME(6)     NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY stock_ledger_ref (campaign_id, kind, ref)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS stock_ledger;
