//! Loading the library: what is said where it was not loaded, and that what is said helps.

use gundb_clusters::session::Failure;
use gundb_clusters::{Cluster, Postgres};

#[tokio::test]
async fn the_command_in_the_hint_loads_gundb_and_keeps_what_is_loaded_already() {
    for postgres in Postgres::all() {
        let cluster = Cluster::start(&postgres, &[("shared_preload_libraries", "auto_explain,  \"pg_prewarm\"")]);
        let session = cluster.connect("postgres").await;
        let Err(Failure::Refused(error)) = session.try_run("CREATE EXTENSION gundb").await else {
            panic!("CREATE EXTENSION needs the library to be loaded when the server starts");
        };
        assert_eq!(error.code().code(), "GD013", "{postgres}: {error}");
        let hint = error.hint().expect("a hint");
        let command = &hint[hint.find("ALTER SYSTEM").expect("a command")..=hint.find(';').expect("its end")];
        assert_eq!(
            command, "ALTER SYSTEM SET shared_preload_libraries = 'auto_explain', 'pg_prewarm', 'gundb';",
            "{postgres}"
        );
        session.run(command).await;
        drop(session);
        cluster.restart();
        let session = cluster.connect("postgres").await;
        session
            .run("CREATE EXTENSION gundb; SELECT gundb.create_stream('moves'); SELECT gundb.append('moves', 'Moved')")
            .await;
        assert_eq!(
            session.value("SHOW shared_preload_libraries").await,
            "auto_explain, pg_prewarm, gundb",
            "{postgres}"
        );
    }
}

#[tokio::test]
async fn a_server_that_lost_the_library_reads_and_refuses_appends_and_then_goes_on() {
    for postgres in Postgres::all() {
        let cluster = Cluster::start(&postgres, &[]);
        let session = cluster.database("shop").await;
        session.run("SELECT gundb.create_stream('moves'); SELECT gundb.append('moves', 'Moved')").await;
        drop(session);
        cluster.configure("shared_preload_libraries = ''");
        cluster.restart();
        let session = cluster.connect("shop").await;
        assert_eq!(session.value("SELECT count(*) FROM moves").await, "1");
        assert_eq!(session.refusal("INSERT INTO moves (type) VALUES ('Moved')").await, "GD013", "{postgres}");
        assert_eq!(session.refusal("SELECT gundb.append('moves', 'Moved')").await, "GD013", "{postgres}");
        assert_eq!(session.refusal("SELECT gundb.create_stream('orders')").await, "GD013", "{postgres}");
        assert_eq!(session.refusal("UPDATE moves SET type = 'Changed'").await, "GD001", "{postgres}");
        drop(session);
        cluster.configure("shared_preload_libraries = 'gundb'");
        cluster.restart();
        let session = cluster.connect("shop").await;
        session.run("SELECT gundb.append('moves', 'Moved')").await;
        assert_eq!(session.value("SELECT count(*) FROM gundb.verify()").await, "0");
    }
}
