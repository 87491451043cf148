-- Shops that have been asked for their keys: for one use, and for a quarter of an hour.
CREATE TABLE key_requests (
    id BYTEA PRIMARY KEY,                  -- a digest of the `user_id` that the shop was sent
    key_id BIGINT,                         -- of the key that seals the spec
    sealed BYTEA,                          -- the connection that is to be made; null once it is
    trying_until BIGINT,                   -- set while keys are being tried
    failure TEXT,                          -- why the last keys were not taken, in a sentence
    until BIGINT NOT NULL
);
