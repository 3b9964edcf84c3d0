//! Sites that are restored, rolled back, promoted and copied while they replicate: nothing is done by hand, and what had reached a peer
//! comes back.
//!
//! `GUNDB_RESTORES` says how often each case is run (20 for the long run), `GUNDB_SEED` how.

use gundb_clusters::proxy::{Cable, until};
use gundb_clusters::sites::{Site, Topology, World};
use gundb_clusters::{Cluster, Postgres, Stop, seed};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);

fn runs() -> usize {
    seed::count("GUNDB_RESTORES", 1)
}

/// Sites on servers of their own, all of one version, since a backup is started by the server that it is of.
async fn world(run: usize, topology: Topology, sites: usize) -> Arc<World> {
    let all = Postgres::all();
    let mut world = World::new(&all[run % all.len()..][..1], sites, sites).await;
    world.connect_all(topology).await;
    Arc::new(world)
}

fn alone(world: &mut Arc<World>) -> &mut World {
    Arc::get_mut(world).expect("nobody writes any more")
}

/// How many acknowledged events a site lacks.
async fn lost(world: &World, site: usize) -> usize {
    let held = world.sites[site].session().await.number("SELECT count(*) FROM moves").await as usize;
    world.acknowledged.lock().unwrap().len().saturating_sub(held)
}

/// All have what was written, a site is replaced by what it was before, and all go on at once: what it lost comes back to it.
///
/// `earlier` makes what the site is replaced by, while all write; `replace` puts it in place of the site's server, which has been
/// killed. Says whether anything was lost: if not, nothing was tested.
async fn go_back<T>(
    name: &str,
    world: &mut Arc<World>,
    site: usize,
    random: &mut fastrand::Rng,
    earlier: impl AsyncFnOnce(&World) -> T,
    replace: impl AsyncFnOnce(&mut World, T),
) -> bool {
    let before = world.write_during(random, earlier).await;
    world.write_during(random, async |_| {}).await;
    world.converge(PATIENCE).await;
    world.set_cables(Cable::Cut);
    world.servers[site].stop(Stop::Immediate);
    replace(alone(world), before).await;
    let lost = lost(world, site).await;
    // It writes before it has heard of anybody.
    world.write_during(random, async |_| {}).await;
    world.write_during(random, async |world| world.set_cables(Cable::Whole)).await;
    let time = world.converge(PATIENCE).await;
    world.assert_well().await;
    assert_no_copies(world).await;
    println!("{name}: {lost} events lost and had back, the same everywhere after {time:.1?}");
    lost > 0
}

async fn assert_no_copies(world: &World) {
    let copies = world.each("SELECT status FROM gundb.health WHERE \"check\" = 'copies'").await;
    assert!(copies.iter().all(|status| status == "OK"), "{copies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_gets_back_what_it_lost() {
    let mut random = seed::generator();
    let mut world = world(random.usize(..2), Topology::Ring, 3).await;
    for run in 0..runs() {
        let site = random.usize(..3);
        let backup = async |world: &World| {
            let server = world.servers[site].clone();
            tokio::task::spawn_blocking(move || server.base_backup(&["-X", "fetch"])).await.unwrap()
        };
        let put_back = async |world: &mut World, backup| {
            world.servers[site].put_back(backup);
            world.servers[site].launch();
        };
        let is_lost = go_back(&format!("backup {run}"), &mut world, site, &mut random, backup, put_back).await;
        assert!(is_lost, "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_put_back_gets_back_what_it_lost() {
    let mut random = seed::generator();
    let mut world = world(random.usize(..2), Topology::Chain, 3).await;
    for run in 0..runs() {
        let site = random.usize(..3);
        // Of a server that was shut down, or as the disk was at one moment.
        let how = if random.bool() { Stop::Fast } else { Stop::Immediate };
        let copy = async |world: &World| {
            let server = world.servers[site].clone();
            let copying = move || {
                server.stop(how);
                let copy = server.copy_stopped();
                server.launch();
                copy
            };
            tokio::task::spawn_blocking(copying).await.unwrap()
        };
        let put_back = async |world: &mut World, copy| {
            world.servers[site].put_back(copy);
            world.servers[site].launch();
        };
        let is_lost = go_back(&format!("directory {run}"), &mut world, site, &mut random, copy, put_back).await;
        assert!(is_lost, "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_gets_back_what_it_had_not_received() {
    let mut random = seed::generator();
    let mut world = world(random.usize(..2), Topology::Chain, 2).await;
    for run in 0..runs() {
        let site = random.usize(..2);
        let standby = async |world: &World| {
            let server = world.servers[site].clone();
            let backing_up = move || {
                let standby = server.base_backup(&["-R", "-X", "stream"]);
                standby.launch();
                standby
            };
            let standby = tokio::task::spawn_blocking(backing_up).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            // It receives nothing from here on: what it has received, promoting it would replay.
            let session = standby.connect("postgres").await;
            session.run("ALTER SYSTEM SET primary_conninfo = ''").await;
            session.run("SELECT pg_reload_conf()").await;
            let receives = "SELECT count(*) FROM pg_stat_wal_receiver";
            until(PATIENCE, async || session.value(receives).await == "0", || "the standby still receives").await;
            standby
        };
        let promote = async |world: &mut World, standby: Cluster| {
            standby.promote();
            world.replace(site, standby);
        };
        let is_lost = go_back(&format!("standby {run}"), &mut world, site, &mut random, standby, promote).await;
        assert!(is_lost, "nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_a_crash_took_come_back_from_a_peer() {
    let mut random = seed::generator();
    let mut world = world(random.usize(..2), Topology::Chain, 2).await;
    for server in &world.servers {
        // As a crash of the machine would: nothing is flushed for a while, whoever commits, the workers too.
        server.configure(
            "synchronous_commit = off\nwal_writer_delay = '10s'\nwal_writer_flush_after = '1GB'\ncheckpoint_timeout = '1h'",
        );
        server.restart();
    }
    for run in 0..runs() {
        let site = random.usize(..2);
        // Sessions flush now and then, as before they tell a peer what they hold; the crash may come just after.
        let mut is_lost = false;
        for _ in 0..10 {
            let relaunch = async |world: &mut World, ()| world.servers[site].launch();
            let nothing = async |_: &World| {};
            is_lost = go_back(&format!("crash {run}"), &mut world, site, &mut random, nothing, relaunch).await;
            if is_lost {
                break;
            }
        }
        assert!(is_lost, "nothing was ever lost");
    }
}

/// Both copies of a site write, and all hold the same; both say that there are two.
async fn live_apart(world: &mut Arc<World>, copies: [usize; 2], random: &mut fastrand::Rng) {
    world.write_during(random, async |_| {}).await;
    world.converge(PATIENCE).await;
    // That another run writes is told from what a restore lost by its time alone, so it takes a moment to be sure.
    let begun = Instant::now();
    while !warn_of_copies(world, copies).await {
        assert!(begun.elapsed() < PATIENCE, "nobody says that there are two copies");
        world.write_during(random, async |_| {}).await;
    }
    world.converge(PATIENCE).await;
    world.assert_well().await;
    let sites = world.each("SELECT gundb.site_id()").await;
    assert_eq!(sites[copies[0]], sites[copies[1]]);
}

async fn warn_of_copies(world: &World, copies: [usize; 2]) -> bool {
    let health = world.each("SELECT status FROM gundb.health WHERE \"check\" = 'copies'").await;
    copies.iter().all(|&copy| health[copy] == "CRITICAL")
}

/// One of them becomes a site of its own, and nothing else changes.
async fn part(world: &mut Arc<World>, copies: [usize; 2], random: &mut fastrand::Rng) {
    let parting = world.sites[copies[1]].session().await;
    parting.run("SELECT gundb.new_identity('parted')").await;
    world.write_during(random, async |_| {}).await;
    world.converge(PATIENCE).await;
    world.assert_well().await;
    let sites = world.each("SELECT gundb.site_id()").await;
    assert_ne!(sites[copies[0]], sites[copies[1]]);
    assert_eq!(parting.value("SELECT status FROM gundb.health WHERE \"check\" = 'copies'").await, "OK");
    world.servers[copies[0]].restart();
    world.write_during(random, async |_| {}).await;
    world.converge(PATIENCE).await;
    assert_no_copies(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_and_its_copy_by_template_both_replicate_until_they_are_parted() {
    let mut random = seed::generator();
    for run in 0..runs() {
        let mut world = world(run, Topology::Chain, 2).await;
        world.write_during(&mut random, async |_| {}).await;
        let server = world.servers[0].clone();
        server.connect("postgres").await.run("CREATE DATABASE copy TEMPLATE site0").await;
        alone(&mut world).sites.push(Site { cluster: server, database: "copy".to_owned() });
        live_apart(&mut world, [0, 2], &mut random).await;
        part(&mut world, [0, 2], &mut random).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_are_one_site_dial_the_same_hub() {
    let mut random = seed::generator();
    for run in 0..runs() {
        let mut world = world(run, Topology::Star, 3).await;
        let backup = async |world: &World| {
            let server = world.servers[1].clone();
            tokio::task::spawn_blocking(move || server.base_backup(&["-X", "fetch"])).await.unwrap()
        };
        let copy = world.write_during(&mut random, backup).await;
        copy.launch();
        let copy = Arc::new(copy);
        let world_alone = alone(&mut world);
        world_alone.servers.push(copy.clone());
        world_alone.sites.push(Site { cluster: copy, database: "site1".to_owned() });
        live_apart(&mut world, [1, 3], &mut random).await;
        part(&mut world, [1, 3], &mut random).await;
    }
}
