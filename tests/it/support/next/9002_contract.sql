-- What the version after that says before it takes something away: who does not know 9001 is left behind.
INSERT INTO schema_floor (migration) VALUES (9001);
