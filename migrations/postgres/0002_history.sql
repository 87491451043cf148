-- What the status page draws: per hour, orders forwarded and the most that were seen waiting at once.
CREATE TABLE hours (
    connection_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,              -- hours since 1970, UTC
    forwarded BIGINT NOT NULL DEFAULT 0,
    waiting BIGINT,                    -- null while nobody has looked
    PRIMARY KEY (connection_id, hour)
);
