-- Everything that belongs to one store carries its connection. Times are milliseconds since 1970, UTC.

CREATE TABLE connections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
    origin INTEGER NOT NULL,               -- 0 environment, 1 api, 2 app, 3 instance
    state INTEGER NOT NULL,                -- 0 active, 1 paused, 2 incomplete, 3 disconnected
    pause_reason INTEGER,                  -- 0 asked, 1 callback gone, 2 retries exhausted
    name TEXT NOT NULL,
    source_kind INTEGER NOT NULL,          -- 0 bigcommerce, 1 woocommerce
    store TEXT NOT NULL,
    destination_kind INTEGER,              -- 0 one_tribe, 1 cloud_elements
    destination_host TEXT,
    destination_mark BLOB,                 -- a digest keyed with hook_key
    hook_key TEXT NOT NULL UNIQUE,
    token_digest BLOB,
    key_id INTEGER,                        -- of the key that seals the spec
    sealed BLOB,
    created_at INTEGER NOT NULL,
    begins_at INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX connections_revision ON connections (revision);
CREATE UNIQUE INDEX connections_token ON connections (token_digest) WHERE token_digest IS NOT NULL;

-- Dates that change with every event, kept apart from the rows that the catalog watches.
CREATE TABLE activity (
    connection_id INTEGER PRIMARY KEY,
    last_event_at INTEGER,
    last_delivered_at INTEGER
) STRICT;

-- One row per object, not per event; `inbox/state.rs` has its rules. version > delivered means that there is work.
-- While a lease runs, due_at is its end: an object whose lease has ended is due again.
CREATE TABLE objects (
    connection_id INTEGER NOT NULL,
    resource TEXT NOT NULL,
    id TEXT NOT NULL,                      -- a sort key: c218 is 218, ~abc is abc
    state INTEGER NOT NULL,                -- 0 pending, 1 delivered, 2 failed, 3 gone, 4 skipped
    version INTEGER NOT NULL,
    forced_version INTEGER NOT NULL,
    event_version INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    change INTEGER NOT NULL,               -- 0 updated, 1 created, 2 deleted
    was_told INTEGER NOT NULL,
    due_at INTEGER,                        -- set while pending
    wait_ms INTEGER NOT NULL,
    waiting_since INTEGER,                 -- set while pending
    lease_owner INTEGER,
    is_forwarding INTEGER NOT NULL,
    is_deferred INTEGER NOT NULL,
    has_failed INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    refused_ms INTEGER NOT NULL,
    missing_ms INTEGER NOT NULL,
    tried_at INTEGER,
    pause_ms INTEGER NOT NULL,
    last_failure TEXT,                     -- side:code, such as destination:http_422
    digest BLOB,
    fetched_at INTEGER,
    delivered_at INTEGER,
    settled_at INTEGER,
    first_event_at INTEGER NOT NULL,
    last_event_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, resource, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX objects_due ON objects (connection_id, has_failed, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX objects_troubled ON objects (connection_id, state) WHERE state IN (2, 3, 4);
CREATE INDEX objects_settled ON objects (settled_at) WHERE settled_at IS NOT NULL;

-- One receipt per event, with two marks (64 bits of a SHA-256 each). Receipts are deleted with their object.
CREATE TABLE receipts (
    connection_id INTEGER NOT NULL,
    resource TEXT NOT NULL,
    id TEXT NOT NULL,
    key INTEGER NOT NULL,                  -- of the event's own id
    content_key INTEGER NOT NULL,          -- of its content and second
    PRIMARY KEY (connection_id, resource, id, key, content_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE feeds (
    connection_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    watermark INTEGER,
    page_size INTEGER,
    trouble_since INTEGER,
    trouble TEXT,
    polled_at INTEGER,
    PRIMARY KEY (connection_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE hooks (
    connection_id INTEGER NOT NULL,
    topic TEXT NOT NULL,
    hook_id INTEGER,
    state TEXT NOT NULL,
    PRIMARY KEY (connection_id, topic)
) STRICT, WITHOUT ROWID;

CREATE TABLE outages (
    connection_id INTEGER NOT NULL,
    side TEXT NOT NULL,                    -- store, destination
    since INTEGER NOT NULL,
    failure TEXT NOT NULL,
    PRIMARY KEY (connection_id, side)
) STRICT, WITHOUT ROWID;

-- Conditions that have been alerted and are not over.
CREATE TABLE alerts (
    connection_id INTEGER NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (connection_id, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
    id TEXT PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    resource TEXT NOT NULL,
    objects TEXT NOT NULL,                 -- JSON: ids, kinds of change and times
    status INTEGER NOT NULL,               -- 0 retry, 1 queued, 2 notified
    attempts INTEGER NOT NULL,
    failed_at INTEGER,
    retry_at INTEGER,
    last_failure TEXT,
    created_at INTEGER NOT NULL,
    notified_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX notifications_newest ON notifications (connection_id, created_at);
CREATE INDEX notifications_outstanding ON notifications (connection_id, created_at) WHERE status <> 2;
CREATE INDEX notifications_old ON notifications (notified_at) WHERE notified_at IS NOT NULL;

-- For the chart on the status page: objects forwarded per hour, and the most that were seen waiting at once.
CREATE TABLE hours (
    connection_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,                 -- hours since 1970, UTC
    forwarded INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER,                       -- null if never counted
    PRIMARY KEY (connection_id, hour)
) STRICT, WITHOUT ROWID;

-- The lock for changing a connection's hooks.
CREATE TABLE hook_locks (
    connection_id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,                -- 0 when given back
    until INTEGER NOT NULL,                -- when it expires unless renewed
    epoch INTEGER NOT NULL                 -- increases when the owner changes
) STRICT;

-- One row: the newest revision of any connection, the database's identity, and when the database was last proven to be
-- writable.
CREATE TABLE catalog (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    revision INTEGER NOT NULL,
    identity BLOB NOT NULL,               -- random; distinguishes this database from others
    probed_at INTEGER
) STRICT;
INSERT INTO catalog (only, revision, identity) VALUES (1, 0, randomblob(16));

-- Pending requests for shops' keys: each can be used once, within a quarter of an hour.
CREATE TABLE key_requests (
    id BLOB PRIMARY KEY,                   -- a digest of the `user_id` that the shop was sent
    key_id INTEGER,                        -- of the key that seals the spec
    sealed BLOB,                           -- the connection to be created; null once it is created
    trying_until INTEGER,                  -- set while keys are being tried
    failure TEXT,                          -- why the last keys were refused, in a sentence
    until INTEGER NOT NULL
) STRICT;

-- The highest number here is the newest migration that a relay has to know to use these tables. Migrations only add;
-- one that breaks relays without some earlier migration inserts the number of that earlier one.
CREATE TABLE schema_floor (
    migration INTEGER PRIMARY KEY
) STRICT;
