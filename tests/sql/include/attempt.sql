\set ECHO none
-- attempt(statement): what PostgreSQL answers to a statement that may fail: the SQLSTATE, the value or the message,
-- DETAIL and HINT. For tables of bad input; a backend that dies of one shows by itself.
CREATE FUNCTION pg_temp.attempt(statement text, OUT state text, OUT answer text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    state := '00000';
    IF statement ILIKE 'SELECT%' THEN
        EXECUTE statement INTO answer;
    ELSE
        EXECUTE statement;
    END IF;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, answer = MESSAGE_TEXT,
                            detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END
$$;
\set ECHO all
