-- One event a transaction, by plain INSERT into a stream that has a JSON Schema for it.
\set key random(1, 1000)
INSERT INTO strict (type, key, data) VALUES ('ItemMoved', :key, :data);
