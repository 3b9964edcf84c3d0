//! Everything at once: three PostgreSQL sites and two edge nodes, each of which appends, while links are parted, slowed and
//! reset, processes of every class killed, workers stopped, clocks moved, and disks fail or are filled. Afterwards every event that anybody was told
//! of is everywhere, once, all hold the same, and every view is the fold of its events.
//!
//! `GUNDB_CHAOS_SECONDS` says how long (600 for `make chaos`), `GUNDB_SEED` how; with `GUNDB_CHAOS_DISK=1` disks are filled,
//! too.

mod edges;
mod faults;
#[path = "../nodes/mod.rs"]
mod nodes;

use faults::{Chaos, Counts, Disk};
use gundb_clusters::machine::Machine;
use gundb_clusters::proxy::until;
use gundb_clusters::sites::{Topology, World};
use gundb_clusters::{Postgres, seed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const SITES: usize = 3;
/// The site whose disk is filled.
const SMALL: usize = 2;
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_everywhere_once_after_chaos() {
    let seconds = seed::count("GUNDB_CHAOS_SECONDS", 45);
    let mut random = seed::generator();
    let root = tempfile::tempdir().expect("a directory");
    let disk = if seed::count("GUNDB_CHAOS_DISK", 0) > 0 { Disk::mount() } else { None };
    let mut machines: Vec<Arc<Machine>> = (0..SITES).map(|_| Arc::default()).collect();
    let mut world = World::on(&machines, &Postgres::all()).await;
    if let Some(disk) = &disk {
        disk.take(&world, SMALL).await;
    }
    world.connect_all(Topology::Mesh).await;
    let nodes = edges::begin(&world, root.path()).await;
    machines.extend(nodes.iter().map(|node| node.machine.clone()));
    let cables = nodes.iter().map(|node| node.cable.clone()).collect();
    let world = Arc::new(world);
    let writers: Vec<_> = (0..SITES)
        .flat_map(|site| [site, site])
        .map(|site| tokio::spawn(world.clone().write(site, Duration::from_millis(10), random.fork())))
        .collect();
    let living: Vec<_> = nodes.into_iter().map(|node| tokio::spawn(node.live(world.clone(), random.fork()))).collect();
    let has_disk = disk.is_some();
    let mut chaos = Chaos { world: world.clone(), cables, machines, disk, random: random.fork(), done: Counts::new() };
    chaos.rage(Duration::from_secs(seconds as u64)).await;
    world.stop.store(true, Relaxed);
    for writer in writers {
        writer.await.expect("a writer failed");
    }
    let mut nodes = Vec::new();
    for node in living {
        nodes.push(node.await.expect("an edge node failed"));
    }

    let healing = Instant::now();
    let mut daemons = Vec::new();
    for node in &nodes {
        daemons.push(node.start().await);
    }
    let same = || async {
        let mut clocks = world.each("SELECT gundb.site_clock()").await;
        clocks.extend(nodes.iter().map(|node| node.says(&["clock"])));
        clocks.iter().all(|clock| *clock == clocks[0])
    };
    until(PATIENCE, same, || "all come to hold the same").await;
    let healing = healing.elapsed();
    for daemon in daemons {
        tokio::task::spawn_blocking(|| daemon.end()).await.expect("an end");
    }

    world.assert_well().await;
    let digests: Vec<String> = world.each("SELECT gundb.digest('moves')").await;
    let views: Vec<String> = world.each("SELECT gundb.view_digest('stock')").await;
    let expected = [&digests[0], &views[0]].map(|digest| digest.replace('-', ""));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    for node in &nodes {
        assert_eq!(node.digests(), expected, "{}: digests of the stream and of the view", node.name);
    }
    // Of the edge nodes' events ids and data are known; that they are the same everywhere is known by now.
    let session = world.sites[0].session().await;
    let rows = session.rows("SELECT id, data FROM moves").await;
    let stored: BTreeMap<&str, &str> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    for node in &nodes {
        for (id, data) in &node.acknowledged {
            assert_eq!(stored.get(id.as_str()), Some(&data.as_str()), "{}: the acknowledged event {id}", node.name);
        }
    }

    let by_sql = world.acknowledged.lock().expect("no writer has panicked").len();
    let by_edges: usize = nodes.iter().map(|node| node.acknowledged.len()).sum();
    let mut table: Vec<(String, String)> = vec![
        ("PostgreSQL sites, edge nodes".into(), format!("{SITES}, {}", nodes.len())),
        ("seconds of chaos".into(), seconds.to_string()),
        ("events acknowledged by PostgreSQL sites".into(), by_sql.to_string()),
        ("events acknowledged by edge nodes".into(), by_edges.to_string()),
        ("stored, and nobody was told".into(), (rows.len() - by_sql - by_edges).to_string()),
        ("acknowledged, and lost, changed, or there twice".into(), "0".into()),
        ("seconds from the last fault to the same everywhere".into(), format!("{:.1}", healing.as_secs_f64())),
    ];
    table.extend(chaos.done.iter().map(|(what, count)| (what.to_string(), count.to_string())));
    table.push(("kills: gundb run".into(), nodes.iter().map(|node| node.killed).sum::<usize>().to_string()));
    table.push(("gundb run ended kindly".into(), nodes.iter().map(|node| node.stopped).sum::<usize>().to_string()));
    let longest = nodes.iter().map(|node| node.longest).max().unwrap_or_default();
    table.push(("gundb run ended kindly: seconds at most".into(), format!("{:.1}", longest.as_secs_f64())));
    if !has_disk {
        table.push(("full disks".into(), "skipped: they need root, and GUNDB_CHAOS_DISK=1".into()));
    }
    for (what, value) in table {
        println!("{what:<54} {value}");
    }
}
