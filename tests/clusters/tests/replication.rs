//! Sites that write while their cables are cut and their processes are killed: afterwards all hold the same, by themselves.
//!
//! `GUNDB_SECONDS` says how long each topology is tormented (60 for the full run), `GUNDB_SEED` how.

use gundb_clusters::sites::{Topology, World};
use gundb_clusters::{Postgres, seed};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// After all is mended: the backlog, a server's restart, and the pause before a peer is dialled again.
const PATIENCE: Duration = Duration::from_secs(90);

async fn torment(name: &str, topology: Topology, servers: usize, sites: usize) {
    let seconds = Duration::from_secs(seed::count("GUNDB_SECONDS", 8) as u64);
    let mut random = seed::generator();
    let mut world = World::new(&Postgres::all(), servers, sites).await;
    world.connect_all(topology).await;
    let world = Arc::new(world);
    let writers: Vec<_> = (0..sites)
        .flat_map(|site| [site, site])
        .map(|site| tokio::spawn(world.clone().write(site, Duration::from_millis(5), random.fork())))
        .collect();
    let done = world.torment(seconds, random.fork()).await;
    world.stop.store(true, Relaxed);
    for writer in writers {
        writer.await.expect("a writer failed");
    }
    let time = world.converge(PATIENCE).await;
    world.assert_well().await;
    let events = world.acknowledged.lock().unwrap().len();
    println!(
        "{name}: {events} events acknowledged, {done:?}; the same everywhere {time:.1?} after the last was mended"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_come_to_hold_the_same_through_one_outbound_connection() {
    let mut world = World::new(&Postgres::all(), 2, 2).await;
    for (site, name) in [(0, "here"), (1, "there")] {
        let insert = format!(
            "INSERT INTO moves (type, key, data) SELECT 'Moved', 'k', jsonb_build_object('n', n, 'name', '{name}') FROM generate_series(1, 1000) n"
        );
        world.sites[site].session().await.run(&insert).await;
    }
    world.link(0, 1, Duration::ZERO).await;
    world.converge(PATIENCE).await;
    assert_eq!(world.each("SELECT count(*) FROM moves").await, ["2000", "2000"]);
    for site in 0..2 {
        world.sites[site].session().await.run("INSERT INTO moves (type, key) VALUES ('Moved', 'live')").await;
    }
    world.converge(Duration::from_secs(5)).await;
    world.assert_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_side_leaves_out_holds_nothing_up_and_a_new_identity_begins_anew() {
    let mut world = World::new(&Postgres::all(), 2, 2).await;
    world.link(0, 1, Duration::ZERO).await;
    let here = world.sites[0].session().await;
    here.run("SELECT gundb.create_stream('audit'); SELECT gundb.alter_peer('site1', push => '{*, !audit}')").await;
    here.run("INSERT INTO audit (type) VALUES ('Seen'); INSERT INTO moves (type, key) VALUES ('Moved', 'after')").await;
    assert_eq!(here.value("SELECT gundb.sync_now('site1', '20 s')").await, "t");
    world.converge(Duration::from_secs(10)).await;
    here.run("SELECT gundb.new_identity('another')").await;
    here.run("INSERT INTO moves (type, key) VALUES ('Moved', 'as another')").await;
    assert_eq!(here.value("SELECT gundb.sync_now('site1', '20 s')").await, "t");
    world.converge(Duration::from_secs(10)).await;
    assert_eq!(world.each("SELECT count(*) FROM moves").await, ["2", "2"]);
    // The site that answers hears of it without asking.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let there = world.sites[1].session().await;
    assert_eq!(
        there.value("SELECT coalesce(sum(to_send), 0) FROM gundb.peer_status WHERE peer = 'another'").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_three_survives_cuts_and_kills() {
    torment("ring", Topology::Ring, 3, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_three_survives_cuts_and_kills() {
    torment("chain", Topology::Chain, 3, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_star_of_three_survives_cuts_and_kills() {
    torment("star", Topology::Star, 3, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_of_three_survives_cuts_and_kills() {
    torment("mesh", Topology::Mesh, 3, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_sites_in_a_ring_survive_cuts_and_kills() {
    torment("ring of ten", Topology::Ring, 3, 10).await;
}
