-- Everything that belongs to one store carries its connection. Times are milliseconds since 1970, UTC.

CREATE TABLE connections (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    first_start INTEGER NOT NULL,
    last_event_at INTEGER,
    last_forwarded_at INTEGER,
    UNIQUE (kind, name)
) STRICT;

-- One row per order, not per event. wanted > delivered means there is work; insisted > delivered means an unchanged
-- snapshot is forwarded as well. While a lease runs, due_at is its end: a lease that runs out is simply due again.
CREATE TABLE orders (
    connection_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    state INTEGER NOT NULL,            -- 0 pending, 1 delivered, 2 failed, 3 gone, 4 skipped
    wanted INTEGER NOT NULL,
    insisted INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,                    -- set while pending
    waiting_since INTEGER,             -- set while pending
    lease_owner INTEGER,
    deferred INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    refused_since INTEGER,
    missing_since INTEGER,
    last_error TEXT,
    digest BLOB,
    fetched_at INTEGER,
    delivered_at INTEGER,
    settled_at INTEGER,
    first_event_at INTEGER NOT NULL,
    last_event_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, order_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX orders_due ON orders (connection_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX orders_troubled ON orders (connection_id, state) WHERE state IN (2, 3, 4);
CREATE INDEX orders_settled ON orders (settled_at) WHERE settled_at IS NOT NULL;

-- One receipt per event, with two marks (64 bits of a SHA-256 each). Receipts lie beside their order's other receipts, so that keeping one touches pages that are at hand; they go with their order.
CREATE TABLE receipts (
    connection_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    key INTEGER NOT NULL,              -- of the webhook-id
    twin INTEGER NOT NULL,             -- of hash and created_at
    PRIMARY KEY (connection_id, order_id, key, twin)
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    connection_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (connection_id, name)
) STRICT, WITHOUT ROWID;

-- The migration that a relay has to know to use these tables is the highest of these. Migrations only add; one that
-- relays without some earlier migration cannot live with inserts the number of that one.
CREATE TABLE schema_floor (
    migration INTEGER PRIMARY KEY
) STRICT;

-- What one process at a time may do: changing a connection's hooks ('hooks'). Who serves the file, a lock beside it says.
CREATE TABLE leases (
    connection_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    owner INTEGER NOT NULL,            -- 0 once it is given back
    until INTEGER NOT NULL,            -- holds so long without a word from its owner
    term INTEGER NOT NULL,             -- goes up when the owner changes
    PRIMARY KEY (connection_id, name)
) STRICT, WITHOUT ROWID;
