-- +goose Up

-- One limited offer. status is the operator's wish, epoch_state is where the protocol stands, issued counts places taken.
-- No table has foreign keys: a failed event must be written while another transaction holds its campaign's row.
CREATE TABLE IF NOT EXISTS campaigns (
    id                INT UNSIGNED    NOT NULL AUTO_INCREMENT,
    slug              VARCHAR(63)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name              VARCHAR(200)    CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL,
    limit_count       BIGINT UNSIGNED NOT NULL,
    issued            BIGINT UNSIGNED NOT NULL DEFAULT 0,
    hi                BIGINT UNSIGNED NOT NULL DEFAULT 0, -- highest serial the servers may expect
    hi_wanted         BIGINT UNSIGNED NOT NULL DEFAULT 0, -- highest serial that may be given out; never above hi
    lowering          BIGINT UNSIGNED NOT NULL DEFAULT 0, -- of an open wish to lower the limit
    next_serial       BIGINT UNSIGNED NOT NULL DEFAULT 1, -- in mode sql, the next serial to give out
    fence_wanted      INT UNSIGNED    NOT NULL DEFAULT 0, -- the epoch that somebody asked to end
    epoch_since       DATETIME(6)     NULL,               -- the last step of epoch or epoch_state
    status            ENUM('draft', 'active', 'paused', 'closed') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'draft',
    epoch             INT UNSIGNED    NOT NULL DEFAULT 0, -- 0 before the first opening
    epoch_state       ENUM('none', 'loading', 'active', 'fencing', 'closed') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'none',
    mode              ENUM('redis', 'sql') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'redis',
    seal              VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    per_user_limit    INT UNSIGNED    NOT NULL DEFAULT 1,
    starts_at         DATETIME(6)     NOT NULL,
    ends_at           DATETIME(6)     NOT NULL,           -- exclusive
    discount          TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- JSON
    validity          TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- JSON
    eligibility       TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- JSON
    metadata          MEDIUMTEXT      CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, -- JSON, kept byte for byte
    restock_on_cancel TINYINT(1)      NOT NULL DEFAULT 0,
    stock_display     ENUM('exact', 'band', 'hidden') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'exact',
    version           BIGINT UNSIGNED NOT NULL DEFAULT 1, -- of the document that is pushed to Redis
    created_at        DATETIME(6)     NOT NULL,
    updated_at        DATETIME(6)     NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY campaigns_slug (slug),
    KEY campaigns_status (status),
    CONSTRAINT campaigns_within_limit CHECK (issued <= limit_count)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS campaigns;
