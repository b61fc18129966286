-- +goose Up

-- The rows users own: born only in issue(), under the lock of the campaign's row, and never deleted.
CREATE TABLE IF NOT EXISTS coupons (
    campaign_id INT UNSIGNED    NOT NULL,
    serial      BIGINT UNSIGNED NOT NULL,
    user_id     VARCHAR(128)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    n           INT UNSIGNED    NOT NULL,
    epoch       INT UNSIGNED    NOT NULL,
    code        CHAR(19)        CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status      ENUM('active', 'redeemed', 'cancelled', 'expired') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active',
    claimed_at  DATETIME(6)     NOT NULL,
    issued_at   DATETIME(6)     NOT NULL,
    expires_at  DATETIME(6)     NULL, -- NULL: never
    redeemed_at DATETIME(6)     NULL,
    order_id    VARCHAR(128)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    PRIMARY KEY (campaign_id, serial),
    UNIQUE KEY coupons_one_each (campaign_id, user_id, n),
    KEY coupons_code (code),
    KEY coupons_user (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS coupons;
