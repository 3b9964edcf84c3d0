-- The same as plain.sql, by writers that take one lock a stream, as many event stores do to number events without gaps.
\set n :n + 1
\set stamp :base + :n * 64 + :client_id
\set lane :base + :client_id
\set key random(1, 1000)
INSERT INTO plain (lane, seq, hlc, id, type, key, data) SELECT :lane::bigint, :n::bigint, :stamp::bigint, ('01900000000070008' || :stamp)::uuid, 'ItemMoved', :key::text, :data::jsonb FROM pg_advisory_xact_lock(1);
