//! A stream that one site drops while its peers go on writing to it.

use gundb_clusters::sites::{Topology, World};
use gundb_clusters::{Postgres, seed};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Within this nothing is refused and offered again.
const SOON: Duration = Duration::from_secs(15);

/// Transactions at these sites, over both streams.
async fn pay(world: &World, sites: &[usize]) {
    for number in 0..20 {
        for site in sites {
            let both = format!(
                "BEGIN; INSERT INTO moves (type, key, data) VALUES ('Moved', 'k{number}', '{{\"n\": 1}}');
                 INSERT INTO paid (type, key) VALUES ('Paid', 'k{number}'); COMMIT"
            );
            world.sites[*site].session().await.run(&both).await;
        }
    }
}

/// Waits until these sites hold the same of the stream.
async fn agree_on_paid(world: &World, sites: &[usize]) {
    let begun = Instant::now();
    loop {
        let mut digests = Vec::new();
        for site in sites {
            digests.push(world.sites[*site].session().await.value("SELECT gundb.digest('paid')").await);
        }
        if digests.iter().all(|digest| *digest == digests[0]) {
            return;
        }
        if begun.elapsed() > PATIENCE {
            for site in sites {
                let session = world.sites[*site].session().await;
                println!("site{site}:");
                for asked in [
                    "SELECT site, lane, count(*), max(seq) FROM paid GROUP BY site, lane ORDER BY site, lane",
                    "SELECT * FROM gundb.peer_status",
                    "SELECT * FROM gundb.pending LIMIT 10",
                ] {
                    println!("  {:?}", session.rows(asked).await);
                }
            }
            panic!("sites {sites:?} do not hold the same of the stream");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Panics unless nothing is left to be sent, or waits, at any site.
async fn assert_nothing_waits(world: &World) {
    let begun = Instant::now();
    for link in &world.links {
        let done = format!("SELECT gundb.sync_now('site{}', '30 s')", link.to);
        let session = world.sites[link.from].session().await;
        assert_eq!(
            session.value(&done).await,
            "t",
            "between site{} and site{}: {:?}",
            link.from,
            link.to,
            session.rows("SELECT * FROM gundb.peer_status").await
        );
    }
    println!("all is exchanged within {:.1?}", begun.elapsed());
    world.assert_well().await;
    println!("all is well after {:.1?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_dropped_at_one_site_stays_away_and_holds_nothing_up_until_it_is_declared_again() {
    let mut random = seed::generator();
    let mut world = World::new(&Postgres::all(), 3, 3).await;
    for site in &world.sites {
        site.session().await.run("SELECT gundb.create_stream('paid')").await;
    }
    world.connect_all(Topology::Mesh).await;
    world.converge(PATIENCE).await;
    let mut world = Arc::new(world);
    world
        .write_during(&mut random, async |world| {
            pay(world, &[0, 1, 2]).await;
            world.sites[1].session().await.run("SELECT gundb.drop_stream('paid')").await;
            pay(world, &[0, 2]).await;
        })
        .await;
    let table = "SELECT to_regclass('public.paid') IS NULL";
    for round in 0..2 {
        println!("round {round}: the others flow within {:.1?}", world.converge(SOON).await);
        agree_on_paid(&world, &[0, 2]).await;
        assert_nothing_waits(&world).await;
        assert_eq!(world.each(table).await, ["f", "t", "f"], "round {round}");
        if round == 0 {
            // A new run of the site asks for what it wrote in the last.
            world.servers[1].restart();
            world.write_during(&mut random, async |world| pay(world, &[0, 2]).await).await;
        }
    }
    world.sites[1].session().await.run("SELECT gundb.create_stream('paid')").await;
    pay(&world, &[0, 1, 2]).await;
    let begun = Instant::now();
    agree_on_paid(&world, &[0, 1, 2]).await;
    println!("declared again, all of it is back within {:.1?}", begun.elapsed());
    world.converge(PATIENCE).await;
    assert_nothing_waits(&world).await;
}
