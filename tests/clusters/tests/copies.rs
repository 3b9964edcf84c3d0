//! Copies of a site that go on beside the original: no dot is given twice, whatever was copied and how.
//!
//! Nothing detects a copy. A copy is another life of a server, so it draws a run of its own and writes lanes of its own.

use gundb_clusters::cluster::Stop;
use gundb_clusters::events::{self, Witness};
use gundb_clusters::session::Session;
use gundb_clusters::{Cluster, Postgres};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const DATABASE: &str = "shop";

/// A server with a stream and some events, in a first and a second life.
async fn original(settings: &[(&str, &str)]) -> Cluster {
    let cluster = Cluster::start(&Postgres::fifteen(), settings);
    let session = cluster.database(DATABASE).await;
    session.run("SELECT gundb.create_stream('moves'); SELECT gundb.set_site_name('paris')").await;
    append(&session, "before").await;
    cluster.restart();
    append(&cluster.connect(DATABASE).await, "before, second life").await;
    cluster
}

/// Some transactions, two of them at once, so that there is more than one lane.
async fn append(session: &Session, who: &str) {
    session
        .run(&format!(
            "INSERT INTO moves (type, key) SELECT 'Moved', '{who}' FROM generate_series(1, 20);
             SELECT gundb.append('moves', 'Moved', key => '{who}')"
        ))
        .await;
    for n in 0..10 {
        session.run(&format!("BEGIN; INSERT INTO moves (type, key) VALUES ('Moved', '{who} {n}'); COMMIT")).await;
    }
}

/// The runs of the lanes that hold events of `who`, or all.
async fn runs(session: &Session, who: &str) -> BTreeSet<String> {
    let sql = format!("SELECT DISTINCT split_part(lane::text, '-', 1) FROM moves WHERE key LIKE '{who}%'");
    session.rows(&sql).await.into_iter().flatten().collect()
}

/// Lets both go on, and panics if one gives what the other gave or holds.
async fn go_on_apart(original: &Session, copy: &Session) {
    let mut witness = Witness::default();
    for round in 0..3 {
        witness.look(original, "moves").await;
        witness.look(copy, "moves").await;
        append(copy, &format!("copy {round}")).await;
        append(original, &format!("original {round}")).await;
    }
    witness.look(original, "moves").await;
    witness.look(copy, "moves").await;
    for session in [original, copy] {
        events::assert_whole(session, "moves").await;
        assert_eq!(session.value("SELECT gundb.site_name()").await, "paris");
    }
    assert_eq!(original.value("SELECT gundb.site_id()").await, copy.value("SELECT gundb.site_id()").await);
    let own = runs(copy, "copy").await;
    assert_eq!(own.len(), 1, "the copy writes in one run");
    assert!(own.is_disjoint(&runs(original, "").await), "the original and the copy share a run");
}

/// What both held when they parted has one digest.
async fn assert_same_past(original: &Session, copy: &Session) {
    let clock = |session| async move { Session::value(session, "SELECT gundb.site_clock()").await };
    let meet = format!("gundb.clock_meet('{}', '{}')", clock(original).await, clock(copy).await);
    let digest = format!("SELECT gundb.digest('moves', {meet})");
    assert_eq!(original.value(&digest).await, copy.value(&digest).await, "of what both hold");
}

#[tokio::test]
async fn a_base_backup_taken_under_load_writes_lanes_of_its_own() {
    let cluster = Arc::new(original(&[]).await);
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (cluster, stop) = (cluster.clone(), stop.clone());
        async move {
            let session = cluster.connect(DATABASE).await;
            while !stop.load(Relaxed) {
                append(&session, "load").await;
            }
        }
    });
    let copy = tokio::task::spawn_blocking({
        let cluster = cluster.clone();
        move || cluster.base_backup(&["-X", "fetch"])
    });
    let copy = copy.await.unwrap();
    stop.store(true, Relaxed);
    load.await.unwrap();
    copy.launch();
    let (original, copy) = (cluster.connect(DATABASE).await, copy.connect(DATABASE).await);
    events::assert_whole(&copy, "moves").await;
    go_on_apart(&original, &copy).await;
    assert_same_past(&original, &copy).await;
}

#[tokio::test]
async fn two_copies_of_a_stopped_data_directory_and_the_original_all_go_on() {
    let cluster = original(&[]).await;
    cluster.stop(Stop::Fast);
    let copies = [cluster.copy_stopped(), cluster.copy_stopped()];
    cluster.launch();
    let original = cluster.connect(DATABASE).await;
    let mut sessions = Vec::new();
    for copy in &copies {
        copy.launch();
        sessions.push(copy.connect(DATABASE).await);
    }
    go_on_apart(&original, &sessions[0]).await;
    go_on_apart(&original, &sessions[1]).await;
    let mut witness = Witness::default();
    for session in sessions.iter().chain([&original]) {
        witness.look(session, "moves").await;
    }
    assert_same_past(&original, &sessions[1]).await;
}

#[tokio::test]
async fn an_older_copy_put_back_in_place_gives_no_dot_again() {
    let cluster = original(&[]).await;
    let mut witness = Witness::default();
    cluster.stop(Stop::Fast);
    let backup = cluster.copy_stopped();
    cluster.launch();
    let session = cluster.connect(DATABASE).await;
    append(&session, "lost with the restore").await;
    witness.look(&session, "moves").await;
    let before = runs(&session, "").await;
    drop(session);
    cluster.stop(Stop::Immediate);

    // The restored server is the same machine, with the same system identifier, timeline and paths.
    backup.launch();
    let session = backup.connect(DATABASE).await;
    append(&session, "after the restore").await;
    witness.look(&session, "moves").await;
    events::assert_whole(&session, "moves").await;
    assert!(before.is_disjoint(&runs(&session, "after").await), "the restored server goes on in a run from before");
    assert_eq!(session.value("SELECT count(*) FROM moves WHERE key = 'lost with the restore'").await, "0");
}

#[tokio::test]
async fn a_standby_reads_and_refuses_appends_and_once_promoted_writes_lanes_of_its_own() {
    let cluster = original(&[("wal_level", "replica"), ("max_wal_senders", "5"), ("hot_standby", "on")]).await;
    let standby = cluster.base_backup(&["-R", "-X", "stream"]);
    standby.launch();
    let original = cluster.connect(DATABASE).await;
    append(&original, "streamed").await;
    let copy = standby.connect(DATABASE).await;
    let target = original.value("SELECT pg_current_wal_flush_lsn()").await;
    while copy.value(&format!("SELECT pg_last_wal_replay_lsn() >= '{target}'")).await != "t" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }

    // Reading needs no run.
    for read in [
        "SELECT count(*) FROM gundb.read('moves', max => 1000000)",
        "SELECT gundb.site_clock()",
        "SELECT gundb.site_id()",
        "SELECT gundb.site_name()",
        "SELECT gundb.digest('moves')",
        "SELECT name || rows FROM gundb.stream WHERE name = 'moves'",
        "SELECT string_agg(name || own || runs, ' ') FROM gundb.site",
        "SELECT count(*) FROM gundb.verify('moves')",
        "SELECT count(*) FROM gundb.consumer",
    ] {
        assert_eq!(copy.value(read).await, original.value(read).await, "{read}");
    }
    for write in [
        "INSERT INTO moves (type) VALUES ('Moved')",
        "SELECT gundb.append('moves', 'Moved')",
        "SELECT gundb.create_stream('orders')",
        "SELECT gundb.set_site_name('lyon')",
        "SELECT gundb.create_consumer('reader', 'moves')",
    ] {
        assert_eq!(copy.refusal(write).await, "25006", "{write}");
    }

    append(&original, "not streamed any more, maybe").await;
    standby.promote();
    go_on_apart(&original, &copy).await;
    assert_same_past(&original, &copy).await;
    // Another session, and another life, of the promoted server.
    go_on_apart(&original, &standby.connect(DATABASE).await).await;
}

#[tokio::test]
async fn a_database_made_from_a_template_writes_lanes_of_its_own() {
    let cluster = original(&[]).await;
    // While a session is connected, PostgreSQL refuses; gundb's own worker must not be what is in the way.
    let admin = cluster.connect("postgres").await;
    admin.run(&format!("CREATE DATABASE copy TEMPLATE {DATABASE}")).await;
    let (original, copy) = (cluster.connect(DATABASE).await, cluster.connect("copy").await);
    go_on_apart(&original, &copy).await;
    assert_same_past(&original, &copy).await;

    // A copy of the copy, in another life of the server, and a database that is renamed and made anew under its name.
    drop(copy);
    admin.run("CREATE DATABASE again TEMPLATE copy").await;
    admin.run("ALTER DATABASE copy RENAME TO renamed").await;
    admin.run("CREATE DATABASE copy TEMPLATE again").await;
    let mut sessions = vec![original];
    for name in ["copy", "again", "renamed"] {
        sessions.push(cluster.connect(name).await);
    }
    let mut witness = Witness::default();
    for session in &sessions {
        append(session, &session.value("SELECT current_database()").await).await;
        witness.look(session, "moves").await;
        events::assert_whole(session, "moves").await;
    }
}

#[tokio::test]
async fn a_dropped_stream_and_a_reset_give_no_dot_again() {
    let cluster = original(&[]).await;
    let session = cluster.connect(DATABASE).await;
    let mut witness = Witness::default();
    witness.look(&session, "moves").await;
    for round in 0..4 {
        let end = if round % 2 == 0 {
            "SELECT gundb.drop_stream('moves'); SELECT gundb.create_stream('moves')"
        } else {
            "SELECT gundb.reset()"
        };
        session.run(end).await;
        append(&session, &format!("round {round}")).await;
        witness.look(&session, "moves").await;
        events::assert_whole(&session, "moves").await;
        // One that is rolled back, and one in a transaction that appends before and after.
        session.run(&format!("BEGIN; INSERT INTO moves (type) VALUES ('Moved'); {end}; INSERT INTO moves (type) VALUES ('Moved'); ROLLBACK")).await;
        append(&session, &format!("round {round}, again")).await;
        session.run(&format!("BEGIN; INSERT INTO moves (type) VALUES ('Moved'); {end}; INSERT INTO moves (type) VALUES ('Moved'); COMMIT")).await;
        append(&session, &format!("round {round}, at last")).await;
        witness.look(&session, "moves").await;
        events::assert_whole(&session, "moves").await;
    }
}
