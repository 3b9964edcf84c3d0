-- The rival: one row a transaction into `plain`, which has the columns and indexes of a stream's table. Each client has a
-- lane of its own; stamps and ids grow with time, and in all clients together, as gundb's do: indexes grow at their end.
\set n :n + 1
\set stamp :base + :n * 64 + :client_id
\set lane :base + :client_id
\set key random(1, 1000)
INSERT INTO plain (lane, seq, hlc, id, type, key, data) VALUES (:lane, :n, :stamp, ('01900000000070008' || :stamp)::uuid, 'ItemMoved', :key, :data);
