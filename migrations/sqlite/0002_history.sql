-- What the status page draws: per hour, orders forwarded and the most that were seen waiting at once.
CREATE TABLE hours (
    connection_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,             -- hours since 1970, UTC
    forwarded INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER,                   -- null while nobody has looked
    PRIMARY KEY (connection_id, hour)
) STRICT, WITHOUT ROWID;
