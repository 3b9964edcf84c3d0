-- One event a transaction, by plain INSERT. The table `hot` is found by the search path.
\set key random(1, 1000)
INSERT INTO hot (type, key, data) VALUES ('ItemMoved', :key, :data);
