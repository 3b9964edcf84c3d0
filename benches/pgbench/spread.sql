-- One event a transaction, to `streams` streams in turn: s0, s1 … in an order that is shuffled anew for each run, each
-- client beginning elsewhere. So every client has met every stream after as many transactions as there are streams.
\set n :n + 1
\set stream permute(:n + 125 * :client_id, :streams)
\set key random(1, 1000)
SELECT * FROM gundb.append('s' || :stream, 'ItemMoved', :data, :key);
