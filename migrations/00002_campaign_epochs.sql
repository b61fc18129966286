-- +goose Up

-- One life of a campaign's claim state. The serials of an epoch lie in [lo, hi_max]; ranges of two epochs are disjoint.
CREATE TABLE IF NOT EXISTS campaign_epochs (
    campaign_id INT UNSIGNED    NOT NULL,
    epoch       INT UNSIGNED    NOT NULL,
    lo          BIGINT UNSIGNED NOT NULL,
    hi          BIGINT UNSIGNED NOT NULL, -- as it was opened with
    hi_max      BIGINT UNSIGNED NOT NULL, -- the highest hi it ever had
    base        BIGINT UNSIGNED NOT NULL DEFAULT 0, -- members loaded into Redis before it was opened
    mode        ENUM('redis', 'sql') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'redis',
    seal        VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    state       ENUM('loading', 'active', 'fencing', 'closed') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    opened_at   DATETIME(6)     NULL, -- NULL: abandoned while loading, its serials were never given out
    closed_at   DATETIME(6)     NULL,
    PRIMARY KEY (campaign_id, epoch)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS campaign_epochs;
