//! Schemas made to do harm: refused, or checked in bounded time and memory.

use gundb_clusters::subject::{PATIENCE, Subject};
use std::time::Instant;

#[tokio::test]
async fn schemas_that_recurse_explode_or_reach_outside_do_no_harm() {
    let subject = Subject::new(&[]).await;
    subject
        .refused(&[
            ("22023", r#"SELECT gundb.define_event('moves', 'A', '{"$ref": "http://example.com/schema"}')"#),
            ("22023", r#"SELECT gundb.define_event('moves', 'A', '{"$ref": "file:///etc/passwd"}')"#),
            ("22023", r#"SELECT gundb.define_event('moves', 'A', '{"$schema": "http://example.com/x"}')"#),
            ("22023", r#"SELECT gundb.define_event('moves', 'A', '{"pattern": "(unclosed"}')"#),
            ("22023", r#"SELECT gundb.define_event('moves', 'A', '{"pattern": "(((((a{1000}){1000}){1000}){1000}){1000})"}')"#),
            ("22023", r#"SELECT gundb.define_event('moves', 'A', '{"multipleOf": 0}')"#),
            ("22023", r#"SELECT gundb.define_event('moves', 'A', '[]')"#),
            ("22023", r#"SELECT gundb.define_event('moves', 'A', 'null')"#),
        ])
        .await;
    // Definitions that are odd but allowed; what is appended then fits, or does not, in bounded time.
    for (kind, schema) in [
        ("Itself", r##"{"$ref": "#"}"##),
        (
            "Ring",
            r##"{"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}"##,
        ),
        ("Tree", r##"{"properties": {"a": {"$ref": "#"}}, "required": ["b"]}"##),
        ("Backtrack", r#"{"properties": {"a": {"pattern": "^(a+)+\\1$"}}}"#),
        ("Ahead", r#"{"properties": {"a": {"pattern": "(?=(a+)+b)c"}}}"#),
        ("Tiny", r#"{"multipleOf": 1e-16383}"#),
        ("Unique", r#"{"uniqueItems": true}"#),
    ] {
        subject.session.run(&format!("SELECT gundb.define_event('moves', '{kind}', '{schema}')")).await;
        for data in [
            "'{}'::jsonb",
            "jsonb_build_object('a', repeat('a', 4000))",
            "'1e131071'",
            "(SELECT jsonb_agg(jsonb_build_object('a', n)) FROM generate_series(1, 20000) n)",
            "(repeat('{\"a\": ', 900) || '{}' || repeat('}', 900))::jsonb",
        ] {
            let start = Instant::now();
            let sql = format!("INSERT INTO moves (type, data) SELECT '{kind}', {data}");
            match subject.session.try_run(&sql).await {
                Ok(()) => (),
                Err(failure) => assert_eq!(failure.sqlstate(), "GD003", "{failure}\nin {sql}"),
            }
            assert!(start.elapsed() < PATIENCE, "took {:?}: {sql}", start.elapsed());
        }
    }
    subject.assert_well().await;
}

#[tokio::test]
async fn a_schema_whose_checking_explodes_is_cut_short() {
    let subject = Subject::new(&[]).await;
    // Two branches a level: 2^60 ways to fail.
    subject
        .session
        .run(
            r##"SELECT gundb.define_event('moves', 'Fork', '{"anyOf": [
                {"properties": {"a": {"$ref": "#"}}, "required": ["b"]},
                {"properties": {"a": {"$ref": "#"}}, "required": ["c"]}]}')"##,
        )
        .await;
    let data = format!("{}{{}}{}", "{\"a\": ".repeat(60), "}".repeat(60));
    let append = format!("SET statement_timeout = '5s'; INSERT INTO moves (type, data) VALUES ('Fork', '{data}')");
    let start = Instant::now();
    let failure = subject.session.try_run(&append).await.expect_err("no branch fits");
    assert!(["GD003", "54000", "57014"].contains(&failure.sqlstate()), "{failure}");
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    subject.session.run("RESET statement_timeout").await;
    subject.assert_well().await;
}
