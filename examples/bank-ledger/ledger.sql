-- A branch's books, the same at each: run this at every one, once the stream is there.

-- Who wrote it: filled in by the server. Clerks may not write the column, so they cannot say that it was somebody else.
ALTER TABLE ledger ALTER COLUMN meta SET DEFAULT jsonb_build_object('by', session_user);
CREATE ROLE clerk;
GRANT SELECT, INSERT (type, key, data) ON ledger TO clerk;

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

-- A transaction is taken back whole, by one of its bookings, and the reason stands beside it. Clerks cannot revert by themselves,
-- since a revert writes meta; session_user is the clerk in here too.
CREATE FUNCTION take_back(booking uuid, why text) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO ledger (type, data) VALUES ('Corrected', jsonb_build_object('why', why));
    SELECT count(*) FROM gundb.revert('ledger', ARRAY(
        SELECT b.id FROM ledger a JOIN ledger b USING (site, xact) WHERE a.id = booking AND b.type = 'Booked' ORDER BY b.hlc));
$$;
REVOKE EXECUTE ON FUNCTION take_back FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_back TO clerk;

-- Who wrote what, where and when. Rows with equal branch and xact were committed together.
CREATE VIEW audit AS
SELECT e.hlc::timestamptz AS at, s.name AS branch, e.meta->>'by' AS by, e.type, e.key AS account,
       (e.data->>'amount')::numeric AS amount, coalesce(e.data->>'purpose', e.data->>'why') AS said, e.id, e.xact, e.hlc
  FROM ledger e JOIN gundb.site s USING (site);
GRANT SELECT ON audit TO clerk;
