-- One event a transaction, by plain INSERT, into a stream that has a view.
\set key random(1, 1000)
INSERT INTO viewed (type, key, data) VALUES ('ItemMoved', :key, :data);
