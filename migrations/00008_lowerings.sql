-- +goose Up

-- The open wish to lower a campaign's limit, while Redis is asked whether it can give the places up. Settled, it goes: what
-- became of it is in the ledger.
CREATE TABLE IF NOT EXISTS lowerings (
    campaign_id   INT UNSIGNED    NOT NULL,
    version       BIGINT UNSIGNED NOT NULL, -- of the first document that told Redis of it
    wanted_before BIGINT UNSIGNED NOT NULL, -- hi_wanted, as a refusal brings it back
    reason        VARCHAR(500)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    actor         VARCHAR(128)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    created_at    DATETIME(6)     NOT NULL,
    PRIMARY KEY (campaign_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS lowerings;
