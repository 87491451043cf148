-- How the version after it begins before it removes something: relays without 9001 can no longer use the database.
INSERT INTO schema_floor (migration) VALUES (9001);
