//! A canary: the password with which a site dials is looked for wherever somebody could come upon it.

use std::time::{Duration, Instant};

use gundb_clusters::{Cluster, Postgres, Session};

/// Both passwords begin so.
const CANARY: &str = "canary-";
/// As servers with debug output see it: no statement of this test has the word itself.
const PATTERN: &str = "'%can' || 'ary-%'";
const WORKER: &str = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'gundb worker' AND datname = 'shop'";

async fn until(session: &Session, sql: &str, wanted: &str) {
    let begun = Instant::now();
    loop {
        let found = session.value(sql).await;
        if found.contains(wanted) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{found}, not {wanted}, of {sql}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All that a superuser can read in a database and that has the canary in it, but for the passwords' own table.
async fn rows_with_the_canary(session: &Session) -> Vec<String> {
    let relations = "SELECT c.oid::regclass FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'S') AND c.oid <> 'gundb.peer_secret'::regclass
                        AND c.relname NOT IN ('pg_authid', 'pg_shadow') ORDER BY 1";
    let mut found = Vec::new();
    for relation in session.rows(relations).await.concat() {
        // Some views can be read by nobody here, such as those of a standby.
        let rows = session.try_rows(&format!("SELECT t::text FROM {relation} t WHERE t::text LIKE {PATTERN}")).await;
        found.extend(rows.unwrap_or_default().concat().into_iter().map(|row| format!("{relation}: {row}")));
    }
    found
}

fn text_of(output: std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_password_of_a_peer_stands_in_its_table_and_nowhere_else() {
    let talkative = [("log_min_messages", "debug2"), ("log_error_verbosity", "verbose"), ("track_activities", "on")];
    for postgres in Postgres::all() {
        let (paris, tokyo) = (Cluster::start(&postgres, &talkative), Cluster::listening(&postgres, &talkative));
        let access = "host all peer 127.0.0.1/32 scram-sha-256\nlocal all all trust\n";
        std::fs::write(tokyo.data().join("pg_hba.conf"), access).expect("pg_hba.conf");
        let (here, there) = (paris.database("shop").await, tokyo.database("shop").await);
        // The verifier is made here: what the other site's administrator types is not what is tested.
        there.run("SELECT pg_reload_conf()").await;
        there.run(&format!("SET log_min_messages = fatal; CREATE ROLE peer LOGIN PASSWORD '{CANARY}right'")).await;
        there.run("RESET log_min_messages; SELECT gundb.grant_peer('peer', accept => 'any')").await;
        let url = format!("postgres://peer@127.0.0.1:{}/shop", tokyo.port());
        here.run(&format!("SELECT gundb.add_peer('tokyo', '{url}')")).await;
        let secret = async |password: &str| {
            // As the name says: a superuser at debug level logs what it types. A wrong password is as secret.
            here.run(&format!("SET log_min_messages = fatal; SELECT gundb.set_peer_secret('tokyo', '{password}')"))
                .await;
            here.run("RESET log_min_messages").await;
        };
        let failure = "SELECT coalesce(last_error, '') FROM gundb.peer_status WHERE peer = 'tokyo'";
        secret(&format!("{CANARY}wrong")).await;
        until(&here, failure, "does not take the password").await;
        secret(&format!("{CANARY}right")).await;
        here.run("SELECT gundb.create_stream('moves'); INSERT INTO moves (type) VALUES ('Moved')").await;
        until(&there, "SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
        until(&there, "SELECT count(*) FROM moves", "1").await;

        for (session, site) in [(&here, "paris"), (&there, "tokyo")] {
            assert_eq!(
                rows_with_the_canary(session).await,
                Vec::<String>::new(),
                "in the catalogs and views of {site}"
            );
        }
        for program in ["pg_dump", "pg_dumpall"] {
            let mut command = paris.client(program);
            if program == "pg_dump" {
                command.arg("shop");
            }
            assert!(!text_of(command.output().expect(program)).contains(CANARY), "in what {program} writes");
        }
        assert_eq!([paris.log_count(CANARY), tokyo.log_count(CANARY)], [0, 0], "in a server's log");
        let worker = here.value(WORKER).await;
        for file in ["cmdline", "environ"] {
            let content = std::fs::read(format!("/proc/{worker}/{file}")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&content).contains(CANARY), "in the worker's {file}");
        }
        // It is there, or nothing was looked for; and those who see all that goes on do not see it.
        let stands = "SELECT secret LIKE '%right' FROM gundb.peer_secret";
        assert_eq!(here.value(stands).await, "t");
        here.run("CREATE ROLE monitor LOGIN IN ROLE pg_monitor, pg_read_all_stats").await;
        here.run("SET ROLE monitor").await;
        let refused = here.try_rows(stands).await.expect_err("a monitor reads no passwords");
        assert_eq!(refused.sqlstate(), "42501");
    }
}
