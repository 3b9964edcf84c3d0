//! Several sites and the cables between them: built, written to, cut, killed, healed, compared.

use crate::cluster::kill;
use crate::events::{self, Seen};
use crate::machine::Machine;
use crate::proxy::{Cable, Proxy};
use crate::session::{Failure, Result};
use crate::{Cluster, Postgres, Session};
use rustix::process::Pid;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The columns of the view over the stream of all sites.
pub const STOCK: &str = r#"{"n": {"fold": "count"}, "total": {"fold": "sum", "value": "n"},
    "last": {"fold": "lww", "value": "name"}, "names": {"fold": "set", "add": {"Moved": "name"}}}"#;

/// The servers'.
const SETTINGS: [(&str, &str); 2] = [("max_connections", "100"), ("max_worker_processes", "24")];

/// Who dials whom.
#[derive(Clone, Copy, Debug)]
pub enum Topology {
    Ring,
    Chain,
    Star,
    Mesh,
}

impl Topology {
    /// The pairs of sites, counted from 0, the dialling one first.
    pub fn pairs(self, sites: usize) -> Vec<(usize, usize)> {
        match self {
            Topology::Chain => (1..sites).map(|site| (site - 1, site)).collect(),
            Topology::Ring => (0..sites).map(|site| (site, (site + 1) % sites)).collect(),
            Topology::Star => (1..sites).map(|site| (site, 0)).collect(),
            Topology::Mesh => (0..sites).flat_map(|a| (a + 1..sites).map(move |b| (a, b))).collect(),
        }
    }
}

/// A site: a database with the extension on one of the servers.
pub struct Site {
    pub cluster: Arc<Cluster>,
    pub database: String,
}

impl Site {
    pub async fn session(&self) -> Session {
        self.cluster.connect(&self.database).await
    }

    pub async fn try_session(&self) -> Result<Session> {
        self.cluster.try_connect(&self.database).await
    }
}

/// A connection from one site to another, through a cable.
pub struct Link {
    pub from: usize,
    pub to: usize,
    pub cable: Proxy,
}

/// The URL of a database of a server whose socket lies in this directory.
pub fn url(directory: &Path, role: &str, database: &str) -> String {
    format!("postgres://{role}@{}:5432/{database}", directory.display().to_string().replace('/', "%2F"))
}

/// Sites, cables, and what was acknowledged anywhere: the memory that no server has.
pub struct World {
    pub servers: Vec<Arc<Cluster>>,
    pub sites: Vec<Site>,
    pub links: Vec<Link>,
    pub acknowledged: Mutex<BTreeMap<events::Dot, Seen>>,
    /// Appends that a server refused.
    pub refused: AtomicUsize,
    pub stop: AtomicBool,
}

impl World {
    /// That many sites, spread over that many servers, each with the stream `moves`, and a view over it.
    pub async fn new(postgres: &[Postgres], servers: usize, sites: usize) -> World {
        let start = |server: usize| Cluster::start(&postgres[server % postgres.len()], &SETTINGS);
        World::of((0..servers).map(start).collect(), sites).await
    }

    /// A site on each of these machines.
    pub async fn on(machines: &[Arc<Machine>], postgres: &[Postgres]) -> World {
        let start = |(server, machine): (usize, &Arc<Machine>)| {
            Cluster::on(machine.clone(), &postgres[server % postgres.len()], &SETTINGS)
        };
        World::of(machines.iter().enumerate().map(start).collect(), machines.len()).await
    }

    async fn of(servers: Vec<Cluster>, sites: usize) -> World {
        let servers: Vec<Arc<Cluster>> = servers.into_iter().map(Arc::new).collect();
        let mut all = Vec::new();
        for number in 0..sites {
            let site = Site { cluster: servers[number % servers.len()].clone(), database: format!("site{number}") };
            let session = site.cluster.database(&site.database).await;
            session
                .run(&format!("SELECT gundb.set_site_name('site{number}'); SELECT gundb.create_stream('moves')"))
                .await;
            session.run(&format!("SELECT gundb.create_view('stock', 'moves', '{STOCK}')")).await;
            all.push(site);
        }
        for server in &servers {
            server.connect("postgres").await.run("CREATE ROLE replicator LOGIN").await;
        }
        let (acknowledged, refused, stop) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(false));
        World { servers, sites: all, links: Vec::new(), acknowledged, refused, stop }
    }

    /// Lays a cable and lets one site dial the other.
    pub async fn link(&mut self, from: usize, to: usize, delay: Duration) {
        let answering = &self.sites[to];
        let cable = Proxy::to(answering.cluster.home(), delay);
        let session = answering.session().await;
        session.run("SELECT gundb.grant_peer('replicator', accept => 'any')").await;
        let url = url(cable.directory(), "replicator", &answering.database);
        self.sites[from].session().await.run(&format!("SELECT gundb.add_peer('site{to}', '{url}')")).await;
        self.links.push(Link { from, to, cable });
    }

    pub async fn connect_all(&mut self, topology: Topology) {
        for (from, to) in topology.pairs(self.sites.len()) {
            self.link(from, to, Duration::ZERO).await;
        }
    }

    /// What the cables do from now on.
    pub fn set_cables(&self, cable: Cable) {
        self.links.iter().for_each(|link| link.cable.set(cable));
    }

    /// Another server takes the place of one, at the ends of its cables too.
    pub fn replace(&mut self, server: usize, by: Cluster) {
        let before = std::mem::replace(&mut self.servers[server], Arc::new(by));
        let now = &self.servers[server];
        for link in &self.links {
            if Arc::ptr_eq(&self.sites[link.to].cluster, &before) {
                link.cable.lead_to(now.home());
            }
        }
        for site in self.sites.iter_mut().filter(|site| Arc::ptr_eq(&site.cluster, &before)) {
            site.cluster = now.clone();
        }
    }

    /// All sites write while something is done, and for a moment before and after.
    pub async fn write_during<T>(
        self: &mut Arc<World>,
        random: &mut fastrand::Rng,
        something: impl AsyncFnOnce(&World) -> T,
    ) -> T {
        const MOMENT: Duration = Duration::from_millis(400);
        self.stop.store(false, Relaxed);
        let writers: Vec<_> = (0..self.sites.len())
            .flat_map(|site| [site, site])
            .map(|site| tokio::spawn(self.clone().write(site, Duration::from_millis(5), random.fork())))
            .collect();
        sleep(MOMENT).await;
        let value = something(self).await;
        sleep(MOMENT).await;
        self.stop.store(true, Relaxed);
        for writer in writers {
            writer.await.expect("a writer failed");
        }
        value
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Appends at one site until it is told to stop, whatever happens to the server; remembers what was acknowledged.
    pub async fn write(self: Arc<World>, site: usize, pause: Duration, mut random: fastrand::Rng) {
        let mut number = 0;
        while !self.stopped() {
            let Ok(session) = self.sites[site].try_session().await else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            while !self.stopped() {
                number += 1;
                let rows = random.usize(1..4);
                let insert = format!(
                    "INSERT INTO moves (type, key, data) SELECT 'Moved', 'k' || {}, jsonb_build_object('n', n, 'name', 'site{site}.{number}')
                       FROM generate_series(1, {rows}) n RETURNING {}",
                    random.u8(0..20),
                    events::returning()
                );
                match session.try_rows(&insert).await {
                    Ok(rows) => self.acknowledge(rows),
                    Err(failure) if failure.is_crash() => break,
                    // A deadlock, a lock, or a full disk: nothing was acknowledged.
                    Err(Failure::Refused(error)) if matches!(error.code().code(), "40P01" | "55P03" | "53100") => {
                        self.refused.fetch_add(1, Relaxed);
                    }
                    Err(failure) => panic!("an append at site {site} failed: {failure}"),
                }
                sleep(pause).await;
            }
        }
    }

    fn acknowledge(&self, rows: Vec<Vec<String>>) {
        let mut log = self.acknowledged.lock().expect("no writer has panicked");
        for row in rows {
            let [dot, id, content] = <[String; 3]>::try_from(row).expect("three columns");
            let event = Seen { id, content };
            if let Some(before) = log.insert(dot.clone(), event.clone()) {
                assert_eq!(before, event, "dot {dot} was given twice");
            }
        }
    }

    /// Cuts and mends cables, kills processes and servers, for a while. Says how often what was done.
    pub async fn torment(&self, time: Duration, mut random: fastrand::Rng) -> BTreeMap<&'static str, usize> {
        let (end, mut done) = (Instant::now() + time, BTreeMap::new());
        while Instant::now() < end {
            sleep(Duration::from_millis(random.u64(50..600))).await;
            let what = match random.u8(0..12) {
                0..3 => self.cable(&mut random, Cable::Cut, "cut"),
                3..5 => self.cable(&mut random, Cable::Silent, "silent"),
                5..10 => self.cable(&mut random, Cable::Whole, "mended"),
                10 => self.kill_a_process(&mut random).await,
                _ => {
                    let server = &self.servers[random.usize(..self.servers.len())];
                    server.kill();
                    sleep(Duration::from_millis(random.u64(0..500))).await;
                    server.launch();
                    "postmaster killed"
                }
            };
            *done.entry(what).or_default() += 1;
        }
        self.set_cables(Cable::Whole);
        done
    }

    fn cable(&self, random: &mut fastrand::Rng, cable: Cable, what: &'static str) -> &'static str {
        if let Some(link) = random.choice(self.links.iter()) {
            link.cable.set(cable);
        }
        what
    }

    /// Kills one of gundb's own processes, or a backend that serves a site that dialled. The server restarts all of its own.
    async fn kill_a_process(&self, random: &mut fastrand::Rng) -> &'static str {
        let server = &self.servers[random.usize(..self.servers.len())];
        let candidates = "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'gundb%' OR usename = 'replicator'";
        let Ok(session) = server.try_connect("postgres").await else { return "nothing" };
        let rows = session.try_rows(candidates).await.unwrap_or_default();
        let Some(row) = random.choice(rows.iter()) else { return "nothing" };
        kill(Pid::from_raw(row[0].parse().expect("a pid")).expect("a pid"));
        "process killed"
    }

    /// Waits until all sites hold the same, and says how long that took. Panics with what each says of its peers.
    pub async fn converge(&self, patience: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let digests = self.each("SELECT gundb.digest('moves')").await;
            if digests.iter().all(|digest| *digest == digests[0]) {
                return start.elapsed();
            }
            if start.elapsed() > patience {
                for (number, site) in self.sites.iter().enumerate() {
                    let session = site.session().await;
                    println!("site{number} holds {} of moves", session.value("SELECT count(*) FROM moves").await);
                    println!("  {:?}", session.rows("SELECT * FROM gundb.peer_status").await);
                    println!("  {:?}", session.rows("SELECT * FROM gundb.pending LIMIT 5").await);
                    println!("{}", site.cluster.log_tail(15));
                }
                panic!("the sites do not hold the same within {patience:?}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// One value of each site.
    pub async fn each(&self, sql: &str) -> Vec<String> {
        let mut values = Vec::new();
        for site in &self.sites {
            values.push(site.session().await.value(sql).await);
        }
        values
    }

    /// Panics unless each site holds all that was acknowledged, whole, and its view is what its events give.
    pub async fn assert_well(&self) {
        let log = self.acknowledged.lock().expect("no writer has panicked").clone();
        for (number, site) in self.sites.iter().enumerate() {
            let session = site.session().await;
            let held = events::all(&session, "moves").await;
            for (dot, event) in &log {
                assert_eq!(held.get(dot), Some(event), "site{number}: the acknowledged event {dot} is lost or changed");
            }
            events::assert_whole(&session, "moves").await;
            session.run("SELECT gundb.retry_pending()").await;
            assert_eq!(
                session.number("SELECT count(*) FROM gundb.pending").await,
                0,
                "site{number} has something pending"
            );
            let wrong = session.rows("SELECT * FROM gundb.check_view('stock')").await;
            assert!(wrong.is_empty(), "site{number}: its view is not what its events give: {wrong:?}");
        }
        let views = self.each("SELECT gundb.view_digest('stock')").await;
        assert!(views.iter().all(|view| *view == views[0]), "the views differ: {views:?}");
        for server in &self.servers {
            let crash = server.own_crash();
            assert!(crash.is_none(), "a server crashed by itself: {}", crash.unwrap_or_default());
        }
    }
}
