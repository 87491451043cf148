-- What the next version might add, in SQL that both databases understand: none of it hinders an older relay.
ALTER TABLE objects ADD COLUMN priority INTEGER;
ALTER TABLE objects ADD COLUMN channel TEXT NOT NULL DEFAULT 'web';
CREATE INDEX objects_by_priority ON objects (connection_id, priority) WHERE priority IS NOT NULL;
ALTER TABLE receipts ADD COLUMN source INTEGER;
ALTER TABLE hours ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
CREATE TABLE shipments (
    connection_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    shipped_at INTEGER,
    PRIMARY KEY (connection_id, order_id)
);
