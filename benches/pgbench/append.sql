-- One event a transaction, by the function, to the stream that `stream` names.
\set key random(1, 1000)
SELECT * FROM gundb.append(:stream, 'ItemMoved', :data, :key);
