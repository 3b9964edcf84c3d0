//! Bundles that are carried by whoever, lost, doubled and late.

use gundb_clusters::{Cluster, Postgres, Session, events, seed};

/// Panics if a site holds an event without one that its author had seen. The other one holds all of both.
async fn assert_causes_are_held(here: &Session, all: &Session) {
    let held = events::all(here, "moves").await.into_keys().collect::<Vec<_>>().join(",");
    let missing = format!(
        "WITH e AS MATERIALIZED (SELECT m, (site || '/' || lane || '/' || seq) = ANY (string_to_array('{held}', ',')) AS held FROM moves m)
         SELECT count(*) FROM e AS cause, e AS effect
          WHERE NOT cause.held AND effect.held AND (cause.m).hlc < (effect.m).hlc AND gundb.happened_before(cause.m, effect.m)"
    );
    assert_eq!(all.value(&missing).await, "0", "an event is held without its cause");
}

async fn append(session: &Session, who: &str, number: usize) {
    let sql = match number % 4 {
        0 => format!(
            "BEGIN; INSERT INTO moves (type, key) VALUES ('Moved', '{who}'); INSERT INTO paid (type) VALUES ('Paid'); COMMIT"
        ),
        _ => format!("INSERT INTO moves (type, key) SELECT 'Moved', '{who}' FROM generate_series(1, 2)"),
    };
    session.run(&sql).await;
}

/// What a site holds beyond a clock, as bundles in hexadecimal.
async fn export(session: &Session, since: &str) -> Vec<String> {
    session.rows(&format!("SELECT gundb.export_bundle(since => '{since}')")).await.concat()
}

async fn import(session: &Session, bundle: &str) {
    session.run(&format!("SELECT * FROM gundb.import_bundle('{bundle}')")).await;
}

#[tokio::test]
async fn a_courier_that_loses_doubles_and_swaps_bundles_never_brings_an_effect_before_its_cause() {
    let mut random = seed::generator();
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let mut sites = Vec::new();
    for name in ["lima", "paris", "tokyo"] {
        let session = cluster.database(name).await;
        session
            .run(&format!(
                "SELECT gundb.set_site_name('{name}'), gundb.create_stream('moves'), gundb.create_stream('paid')"
            ))
            .await;
        sites.push(session);
    }
    let [lima, paris, tokyo] = <[Session; 3]>::try_from(sites).ok().expect("three sites");
    let clock = async |session: &Session| session.value("SELECT gundb.site_clock()").await;
    let (mut told, mut brought) = ("{}".to_owned(), "{}".to_owned());
    let mut bag: Vec<String> = Vec::new();
    for round in 0..24 {
        append(&lima, "lima", round).await;
        // Paris has all that lima wrote, and what it writes itself builds on that.
        for bundle in export(&lima, &brought).await {
            import(&paris, &bundle).await;
        }
        brought = clock(&lima).await;
        append(&paris, "paris", round + 1).await;
        if round == 12 {
            // Goes in parts.
            let large = "INSERT INTO moves (type, key, data) SELECT 'Large', 'paris', jsonb_build_object('text', repeat(md5(n::text), 40)) FROM generate_series(1, 2000) n";
            paris.run(large).await;
        }
        // Towards tokyo each bundle builds on those before, whether they come or not.
        bag.extend(export(&paris, &told).await);
        told = clock(&paris).await;
        random.shuffle(&mut bag);
        for bundle in bag.split_off(bag.len() / 2) {
            match random.u8(0..4) {
                0 => {}
                1 => {
                    import(&tokyo, &bundle).await;
                    import(&tokyo, &bundle).await;
                }
                2 => {
                    import(&tokyo, &bundle).await;
                    bag.push(bundle);
                }
                _ => import(&tokyo, &bundle).await,
            }
        }
        if round % 6 == 5 && round < 12 {
            assert_causes_are_held(&tokyo, &paris).await;
        }
        events::assert_whole(&tokyo, "moves").await;
    }
    assert!(clock(&tokyo).await != told, "nothing was lost, so nothing is tested");
    for bundle in export(&paris, "{}").await {
        import(&tokyo, &bundle).await;
    }
    for stream in ["moves", "paid"] {
        let digest = format!("SELECT gundb.digest('{stream}')");
        assert_eq!(tokyo.value(&digest).await, paris.value(&digest).await);
        events::assert_whole(&tokyo, stream).await;
    }
    assert_eq!(tokyo.value("SELECT count(*) FROM gundb.pending").await, "0");
}

/// What a site holds of one stream beyond a clock.
async fn export_of(session: &Session, stream: &str, since: &str) -> Vec<String> {
    session.rows(&format!("SELECT gundb.export_bundle('{{{stream}}}', '{since}')")).await.concat()
}

const DOTS: &str = "SELECT gundb.dot(site, gundb.stream_id('moves'), lane, seq) AS dot, hlc FROM moves
                    UNION ALL SELECT gundb.dot(site, gundb.stream_id('paid'), lane, seq), hlc FROM paid";

/// Panics if a site that takes both streams holds an event of either without one of either that its author had seen.
async fn assert_causes_are_held_in_both(here: &Session, all: &Session) {
    let held = here.rows(&format!("SELECT dot FROM ({DOTS}) d")).await.concat().join(",");
    let missing = format!(
        "WITH e AS MATERIALIZED (SELECT dot, hlc, dot::text = ANY (string_to_array('{held}', ',')) AS held FROM ({DOTS}) d)
         SELECT count(*) FROM e AS cause, e AS effect
          WHERE NOT cause.held AND effect.held AND cause.hlc < effect.hlc AND gundb.happened_before(cause.dot, effect.dot)"
    );
    assert_eq!(all.value(&missing).await, "0", "an event is held without its cause");
}

#[tokio::test]
async fn exports_of_some_streams_say_what_they_leave_out_and_wait_for_it() {
    let mut random = seed::generator();
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let declare = "SELECT gundb.create_stream('moves'), gundb.create_stream('paid')";
    let (paris, tokyo) = (cluster.database("paris").await, cluster.database("tokyo").await);
    paris.run(&format!("SELECT gundb.set_site_name('paris'); {declare}")).await;
    tokyo.run(&format!("SELECT gundb.set_site_name('tokyo'); {declare}")).await;
    let (mut bag, mut waited) = (Vec::new(), false);
    for round in 0..12 {
        for stream in ["moves", "paid", "moves"] {
            paris.run(&format!("INSERT INTO {stream} (type) SELECT 'Done' FROM generate_series(1, 3)")).await;
        }
        // Each stream by a courier of its own: both are late, and one of them may not come.
        let told = tokyo.value("SELECT gundb.site_clock()").await;
        for stream in ["moves", "paid"] {
            bag.extend(export_of(&paris, stream, &told).await);
        }
        random.shuffle(&mut bag);
        for bundle in bag.split_off(bag.len() / 2) {
            for _ in 0..random.u8(0..3) {
                import(&tokyo, &bundle).await;
            }
        }
        waited |= tokyo.value("SELECT count(*) > 0 FROM gundb.pending WHERE kind = 'bundle'").await == "t";
        if round % 4 == 3 {
            assert_causes_are_held_in_both(&tokyo, &paris).await;
        }
    }
    assert!(waited, "nothing waited, so nothing is tested");
    // Of one stream alone nothing of what it builds on comes, at a site that takes both; at one that takes it alone, all.
    let alone = cluster.database("alone").await;
    for bundle in export_of(&paris, "moves", "{}").await {
        import(&alone, &bundle).await;
    }
    until(&alone, "SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
    until(&alone, "SELECT count(*) FROM moves", &paris.value("SELECT count(*) FROM moves").await).await;
    for bundle in export(&paris, "{}").await {
        import(&tokyo, &bundle).await;
    }
    for stream in ["moves", "paid"] {
        let digest = format!("SELECT gundb.digest('{stream}')");
        assert_eq!(tokyo.value(&digest).await, paris.value(&digest).await);
    }
    assert_eq!(tokyo.value("SELECT count(*) FROM gundb.pending").await, "0");
}

/// Waits until a query gives this.
async fn until(session: &Session, sql: &str, wanted: &str) {
    let begun = std::time::Instant::now();
    loop {
        let found = session.value(sql).await;
        if found == wanted {
            return;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{found}, not {wanted}, of {sql}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_import_sees_the_table_that_another_made_while_it_waited() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, tokyo) = (cluster.database("paris").await, cluster.database("tokyo").await);
    paris.run("SELECT gundb.create_stream('moves')").await;
    paris.run("INSERT INTO moves (type) VALUES ('First')").await;
    let first = export_of(&paris, "moves", "{}").await.concat();
    let told = paris.value("SELECT gundb.site_clock()").await;
    paris.run("INSERT INTO moves (type) VALUES ('Second')").await;
    let second = export_of(&paris, "moves", &told).await.concat();
    tokyo
        .run(&format!("BEGIN; SELECT gundb.create_stream('moves'); SELECT * FROM gundb.import_bundle('{first}')"))
        .await;
    let other = cluster.connect("tokyo").await;
    let (watch, blocked) = (cluster.connect("tokyo").await, "SELECT count(*) FROM pg_locks WHERE NOT granted");
    tokio::join!(import(&other, &second), async {
        until(&watch, blocked, "1").await;
        tokyo.run("COMMIT").await;
    });
    assert_eq!(tokyo.value("SELECT string_agg(type, ',' ORDER BY seq) FROM moves").await, "First,Second");
}

#[tokio::test]
async fn what_is_imported_becomes_a_table_at_a_site_without_peers() {
    let cluster = Cluster::start(&Postgres::fifteen(), &[]);
    let (paris, tokyo) = (cluster.database("paris").await, cluster.database("tokyo").await);
    paris.run("SELECT gundb.create_stream('moves'), gundb.create_stream('audit')").await;
    paris.run("INSERT INTO moves (type) SELECT 'Moved' FROM generate_series(1, 10)").await;
    // One bundle has the definitions, and the next the events.
    let before = export_of(&paris, "gundb", "{}").await;
    for bundle in before.iter().chain(&export_of(&paris, "moves", "{}").await) {
        import(&tokyo, bundle).await;
    }
    until(&tokyo, "SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'", "1").await;
    until(&tokyo, "SELECT count(*) FROM moves", "10").await;
    until(&tokyo, "SELECT count(*) FROM gundb.pending", "0").await;
    // Of what was declared and has not come there is no table; nor of what was dropped.
    assert_eq!(tokyo.value("SELECT count(*) FROM gundb.stream_table WHERE name = 'audit'").await, "0");
    tokyo.run("SELECT gundb.drop_stream('moves')").await;
    paris.run("INSERT INTO moves (type) VALUES ('Moved'); INSERT INTO audit (type) VALUES ('Seen')").await;
    for bundle in export(&paris, "{}").await {
        import(&tokyo, &bundle).await;
    }
    until(&tokyo, "SELECT count(*) FROM gundb.stream_table WHERE name = 'audit'", "1").await;
    assert_eq!(tokyo.value("SELECT count(*) FROM gundb.stream_table WHERE name = 'moves'").await, "0");
}
