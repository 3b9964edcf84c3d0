-- A branch's books, the same at each: run this at every one, once the stream is there.

-- Who wrote it: from the next connection on the server puts the session's user into meta.actor of each event, whatever the writer says.
ALTER DATABASE :"DBNAME" SET gundb.stamp_actor = on;
CREATE ROLE clerk;
GRANT SELECT, INSERT ON ledger TO clerk;

-- What one event makes of an account. A booking that takes it from within its limit to beyond it costs 5: that depends on
-- the order of bookings, which no sum can say. The bank's own accounts have no limit, and so no fees.
CREATE FUNCTION post(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE
    least_allowed numeric := -(state->>'limit')::numeric;
    balance numeric := (state->>'balance')::numeric;
    fees numeric := (state->>'fees')::numeric;
BEGIN
    IF event.type = 'Opened' THEN
        RETURN state || event.data;
    ELSIF event.type = 'Booked' THEN
        IF balance >= least_allowed AND balance + (event.data->>'amount')::numeric < least_allowed THEN
            fees := fees + 5;
        END IF;
        RETURN state || jsonb_build_object('balance', balance + (event.data->>'amount')::numeric, 'fees', fees);
    END IF;
    RETURN state;
END $$;
SELECT gundb.create_reducer_view('accounts', 'ledger', 'post(jsonb, gundb.event)', initial => '{"balance": 0, "fees": 0}');
GRANT SELECT ON accounts TO clerk;

-- Two bookings, one transaction: no site ever holds one without the other.
CREATE FUNCTION transfer(payer text, payee text, amount numeric, purpose text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger (type, key, data)
    VALUES ('Booked', payer, jsonb_build_object('amount', -amount, 'purpose', purpose)),
           ('Booked', payee, jsonb_build_object('amount', amount, 'purpose', purpose));
$$;

-- Who wrote what, where and when. Rows with equal branch and xact were committed together.
CREATE VIEW audit AS
SELECT e.hlc::timestamptz AS at, s.name AS branch, e.meta->>'actor' AS by, e.type, e.key AS account,
       (e.data->>'amount')::numeric AS amount, coalesce(e.data->>'purpose', e.data->>'why') AS said, e.id, e.xact, e.hlc
  FROM ledger e JOIN gundb.site s USING (site);
GRANT SELECT ON audit TO clerk;
