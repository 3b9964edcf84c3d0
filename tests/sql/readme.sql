-- The SQL of the README runs as it stands, in a database that has nothing yet.
DROP EXTENSION gundb;
\! sed -n '/^```sql$/,/^```$/ { /^```/d; p }' ../../README.md > ../../target/readme.sql
\set ECHO none
\o /dev/null
\i ../../target/readme.sql
\o
\set ECHO all
SELECT count(*) AS events FROM gundb.event;
