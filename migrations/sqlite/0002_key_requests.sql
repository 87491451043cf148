-- Shops that have been asked for their keys: for one use, and for a quarter of an hour.
CREATE TABLE key_requests (
    id BLOB PRIMARY KEY,                   -- a digest of the `user_id` that the shop was sent
    key_id INTEGER,                        -- of the key that seals the spec
    sealed BLOB,                           -- the connection that is to be made; null once it is
    trying_until INTEGER,                  -- set while keys are being tried
    failure TEXT,                          -- why the last keys were not taken, in a sentence
    until INTEGER NOT NULL
) STRICT;
