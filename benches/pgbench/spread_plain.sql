-- The same as spread.sql without gundb: one row a transaction to `streams` plain tables in turn. Each client prepares an
-- INSERT for each of them first. For the simple protocol, since the table is in the statement's name.
\set n :n + 1
\if :n = 1
SELECT bench.prepare_plain(:streams);
\endif
\set stamp :base + :n * 64 + :client_id
\set lane :base + :client_id
\set stream permute(:n + 125 * :client_id, :streams)
\set key random(1, 1000)
EXECUTE plain_:stream(:lane, :n, :stamp, ':key', ':data');
