//! What somebody who owns streams may do to them and to the server: errors at worst, no crash and no gap.

use gundb_clusters::seed;
use gundb_clusters::subject::Subject;

#[tokio::test]
async fn one_transaction_over_more_streams_than_the_lock_table_holds_is_refused_and_harms_nobody() {
    // With the default settings it takes about 40,000 streams to fill the table of locks; with these a few hundred do.
    let streams = seed::count("GUNDB_STREAMS", 1_500);
    let quick = [
        ("max_locks_per_transaction", "30"),
        ("max_connections", "10"),
        ("max_wal_senders", "0"),
        ("max_worker_processes", "4"),
    ];
    let subject = Subject::new(if streams == 1_500 { &quick } else { &[] }).await;
    for i in 0..streams {
        subject.session.run(&format!("SELECT gundb.create_stream('stream {i}')")).await;
    }
    let other = subject.cluster.connect("input").await;
    for how in ["INSERT INTO \"stream {}\" (type) VALUES ('Wide')", "SELECT gundb.append('stream {}', 'Wide')"] {
        let appends = (0..streams).fold("BEGIN;".to_owned(), |sql, i| sql + &how.replace("{}", &i.to_string()) + ";\n");
        let failure = subject.session.try_run(&appends).await.expect_err("so many locks do not fit");
        assert_eq!(failure.sqlstate(), "53200", "{failure}");
        subject.session.run("ROLLBACK").await;
        other.run("INSERT INTO moves (type) VALUES ('Other')").await;
        assert_eq!(subject.session.value("SELECT count(*) FROM \"stream 0\"").await, "0");
        subject.assert_well().await;
    }
}

#[tokio::test]
async fn a_server_with_more_streams_than_the_lock_table_holds_is_writable_after_a_restart() {
    let settings = [
        ("max_locks_per_transaction", "30"),
        ("max_connections", "10"),
        ("max_wal_senders", "0"),
        ("max_worker_processes", "4"),
    ];
    let subject = Subject::new(&settings).await;
    for i in 0..1_500 {
        subject.session.run(&format!("SELECT gundb.create_stream('stream {i}')")).await;
    }
    subject.cluster.restart();
    let session = subject.cluster.connect("input").await;
    session.run("INSERT INTO moves (type) VALUES ('Moved')").await;
    assert_eq!(session.value("SELECT count(*) FROM gundb.read('moves')").await, "1");
}

#[tokio::test]
async fn what_an_owner_can_do_to_a_stream_table_neither_crashes_nor_leaves_a_gap() {
    let subject = Subject::new(&[]).await;
    let session = &subject.session;
    session.run("CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'").await;
    // The trigger functions in places where they do not belong.
    for trigger in [
        "AFTER INSERT ON moves FOR EACH STATEMENT EXECUTE FUNCTION gundb.stamp('moves')",
        "BEFORE INSERT ON moves FOR EACH STATEMENT EXECUTE FUNCTION gundb.stamp('moves')",
        "AFTER INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.stamp('moves')",
        "BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.stamp('moves')",
        "BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.stamp()",
        "BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.guard()",
        "AFTER INSERT ON moves FOR EACH STATEMENT EXECUTE FUNCTION gundb.guard()",
    ] {
        session.run(&format!("CREATE TRIGGER aa {trigger}")).await;
        if let Err(failure) = session.try_run("INSERT INTO moves (type) VALUES ('Moved'), ('Moved')").await {
            assert!(!failure.is_crash() && failure.sqlstate() != "XX000", "{failure}\nwith {trigger}");
        }
        session.run("DROP TRIGGER aa ON moves").await;
        subject.assert_well().await;
    }
    session.run("CREATE TABLE plain (a int); CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION gundb.stamp('moves')").await;
    let failure = session.try_run("INSERT INTO plain VALUES (1)").await.expect_err("a plain table is no stream");
    assert_eq!(failure.sqlstate(), "42809", "{failure}");
    session.run("DROP TABLE plain").await;

    // Rows that vanish after their triggers ran, or are refused late.
    session.run("CREATE UNIQUE INDEX ON moves (key); INSERT INTO moves (type, key) VALUES ('Old', 'a')").await;
    for insert in [
        "VALUES ('New', 'a'), ('New', gen_random_uuid()::text) ON CONFLICT DO NOTHING",
        "VALUES ('New', 'a'), ('New', gen_random_uuid()::text) ON CONFLICT (key) DO NOTHING",
        "VALUES ('New', 'a'), ('New', gen_random_uuid()::text) ON CONFLICT (key) DO UPDATE SET type = 'Changed'",
        "VALUES ('New', 'a'), ('New', gen_random_uuid()::text) ON CONFLICT (key) DO UPDATE SET type = 'Changed' WHERE false",
        "VALUES ('New', gen_random_uuid()::text), ('New', 'a')",
    ] {
        let sql = format!("INSERT INTO moves (type, key) {insert}");
        drop(session.try_run(&sql).await);
        drop(session.try_run(&format!("BEGIN; SAVEPOINT a; {sql}; ROLLBACK TO a; COMMIT")).await);
        session.run("ROLLBACK").await;
        subject.assert_well().await;
    }
    session.run("CREATE TRIGGER aa BEFORE UPDATE ON moves FOR EACH ROW EXECUTE FUNCTION drop_row()").await;
    drop(session.try_run("INSERT INTO moves (type, key) VALUES ('New', 'a'), ('New', 'b') ON CONFLICT (key) DO UPDATE SET type = 'Changed'").await);
    subject.assert_well().await;
    assert_eq!(session.value("SELECT count(*) FROM moves WHERE type = 'Changed'").await, "0");
    session.run("CREATE TRIGGER bb BEFORE DELETE ON moves FOR EACH ROW EXECUTE FUNCTION drop_row()").await;
    session.run("DROP TRIGGER aa ON moves; DROP TRIGGER bb ON moves").await;

    // Its shape and its indexes.
    session.run("ALTER TABLE moves ADD COLUMN own int DEFAULT 7; CREATE RULE r AS ON INSERT TO moves WHERE new.type = 'Ruled' DO INSTEAD NOTHING").await;
    session.run("INSERT INTO moves (type, own) VALUES ('Moved', 1), ('Ruled', 2)").await;
    subject.assert_well().await;
    session.run("ALTER TABLE moves DROP COLUMN own; DROP RULE r ON moves").await;
    assert_eq!(session.refusal("ALTER TABLE moves DROP CONSTRAINT moves_pkey").await, "GD001");
    assert_eq!(session.refusal("ALTER TABLE moves ALTER COLUMN data TYPE text").await, "42P16");
    subject.assert_well().await;
}
