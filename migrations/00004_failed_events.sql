-- +goose Up

-- Events that could not become a row. The claim's columns are NULL where the bytes did not yield a storable value.
CREATE TABLE IF NOT EXISTS failed_events (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    event_key       VARCHAR(320)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- campaign:user:n:epoch:serial, of a dead one topic:partition:offset
    campaign_id     INT UNSIGNED    NULL, -- NULL: no such campaign
    epoch           BIGINT UNSIGNED NOT NULL DEFAULT 0,
    carried         TINYINT(1)      NOT NULL DEFAULT 0, -- its epoch is closed and its place is kept
    user_id         VARCHAR(128)    CHARACTER SET ascii COLLATE ascii_bin NULL,
    n               BIGINT UNSIGNED NULL,
    serial          BIGINT UNSIGNED NULL,
    claimed_at      DATETIME(6)     NULL,
    payload         MEDIUMBLOB      NOT NULL,
    reason          VARCHAR(40)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    error           VARCHAR(500)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    status          ENUM('pending', 'leased', 'done', 'parked', 'dead', 'discarded') CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempts        INT UNSIGNED    NOT NULL DEFAULT 0,
    next_attempt_at DATETIME(6)     NOT NULL,
    lease_token     VARCHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NULL,
    lease_until     DATETIME(6)     NULL,
    created_at      DATETIME(6)     NOT NULL,
    updated_at      DATETIME(6)     NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY failed_events_event (event_key),
    KEY failed_events_due (status, next_attempt_at, id),
    KEY failed_events_campaign (campaign_id, status),
    KEY failed_events_claim (campaign_id, user_id, n)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS failed_events;
