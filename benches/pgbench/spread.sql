-- One event a transaction, to any of `streams` streams: s0, s1 …
\set key random(1, 1000)
\set stream random(0, :streams - 1)
SELECT * FROM gundb.append('s' || :stream, 'ItemMoved', :data, :key);
