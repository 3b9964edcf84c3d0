//! What is done to sites, one thing after the other.

use crate::SMALL;
use gundb_clusters::cluster::kill;
use gundb_clusters::machine::Machine;
use gundb_clusters::postgres::run;
use gundb_clusters::proxy::{Cable, Proxy};
use gundb_clusters::sites::World;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// How often what was done, and what came of it.
pub type Counts = BTreeMap<&'static str, usize>;

/// A small file system of its own, on which a site's database lies. Only root can make one.
pub struct Disk {
    directory: TempDir,
}

/// Enough for what ten minutes append.
const DISK: &str = "size=1g,mode=777";

impl Disk {
    pub fn mount() -> Option<Disk> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let directory = tempfile::Builder::new().prefix("gundb-disk-").tempdir().expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(directory.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = Disk { directory };
        fs::create_dir(disk.space()).expect("a directory");
        fs::set_permissions(disk.space(), fs::Permissions::from_mode(0o777)).expect("its rights");
        run(Command::new("chown").arg("postgres").arg(disk.space()));
        Some(disk)
    }

    fn space(&self) -> std::path::PathBuf {
        self.directory.path().join("space")
    }

    /// Moves a site's database there.
    pub async fn take(&self, world: &World, site: usize) {
        let (space, site) = (self.space().display().to_string(), &world.sites[site]);
        let session = site.cluster.connect("postgres").await;
        session.run(&format!("CREATE TABLESPACE small LOCATION '{space}'")).await;
        session.run(&format!("ALTER DATABASE {} SET TABLESPACE small", site.database)).await;
    }

    /// Takes what is left of it, while others take of it too.
    fn fill(&self) {
        let ballast = File::create(self.directory.path().join("ballast")).expect("a file");
        let state = statvfs(self.directory.path()).expect("its size");
        let (mut taken, mut piece) = (0, state.f_bavail * state.f_frsize);
        while piece >= state.f_frsize {
            match fallocate(&ballast, FallocateFlags::empty(), taken, piece) {
                Ok(()) => taken += piece,
                Err(_) => piece /= 2,
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.directory.path().join("ballast")).expect("the file");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server on it is stopped later.
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).status();
    }
}

pub struct Chaos {
    pub world: Arc<World>,
    pub cables: Vec<Arc<Proxy>>,
    /// Those of the sites, then those of the edge nodes' daemons.
    pub machines: Vec<Arc<Machine>>,
    pub disk: Option<Disk>,
    pub random: fastrand::Rng,
    pub done: Counts,
}

impl Chaos {
    pub async fn rage(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(Duration::from_millis(self.random.u64(50..500))).await;
            match self.random.u8(0..46) {
                0..5 => self.set(Cable::Cut, "partitions, both ways"),
                5..8 => self.set(Cable::Silent, "partitions, both ways, that nobody is told of"),
                8..10 => self.set(Cable::SilentThere, "partitions, one way"),
                10..12 => self.set(Cable::SilentBack, "partitions, one way"),
                12..15 => self.reset().await,
                15..18 => {
                    let late = Duration::from_millis(self.random.u64(5..300));
                    let bytes_per_second = self.random.u32(4_000..400_000);
                    self.set(Cable::Slow { late, bytes_per_second }, "links made slow and late");
                }
                18..32 => self.set(Cable::Whole, "links mended"),
                32 | 33 => {
                    self.kill_a("backend_type = 'client backend' AND datname LIKE 'site%'", "kills: backends").await
                }
                34 => self.kill_a("backend_type LIKE 'gundb%'", "kills: workers").await,
                35 => self.kill_a_server().await,
                36..38 => self.stop_a_worker().await,
                38 | 39 => self.fill_the_disk().await,
                40..43 => self.move_a_clock(),
                _ => self.fail_a_disk().await,
            }
        }
        self.world.set_cables(Cable::Whole);
        self.cables.iter().for_each(|cable| cable.set(Cable::Whole));
        for machine in &self.machines {
            machine.set_clock(0);
            machine.fail_syncs(0);
        }
    }

    fn count(&mut self, what: &'static str, many: usize) {
        *self.done.entry(what).or_default() += many;
    }

    fn any_cable(&mut self) -> &Proxy {
        let number = self.random.usize(..self.world.links.len() + self.cables.len());
        match self.world.links.get(number) {
            Some(link) => &link.cable,
            None => &self.cables[number - self.world.links.len()],
        }
    }

    fn set(&mut self, cable: Cable, what: &'static str) {
        self.any_cable().set(cable);
        self.count(what, 1);
    }

    /// Connections break, and can be made anew at once.
    async fn reset(&mut self) {
        let cable = self.any_cable();
        cable.set(Cable::Cut);
        sleep(Duration::from_millis(20)).await;
        cable.set(Cable::Whole);
        self.count("connections reset", 1);
    }

    /// A process of one of the servers, with its site.
    async fn process(&mut self, which: &str) -> Option<Pid> {
        let server = &self.world.servers[self.random.usize(..self.world.servers.len())];
        let session = server.try_connect("postgres").await.ok()?;
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE {which} ORDER BY random() LIMIT 1");
        let rows = session.try_rows(&sql).await.ok()?;
        Pid::from_raw(rows.first()?[0].parse().expect("a pid"))
    }

    async fn kill_a(&mut self, which: &str, what: &'static str) {
        if let Some(process) = self.process(which).await {
            kill(process);
            self.count(what, 1);
        }
    }

    async fn kill_a_server(&mut self) {
        let server = self.world.servers[self.random.usize(..self.world.servers.len())].clone();
        assert!(server.is_running(), "a server has ended by itself:\n{}", server.log_tail(40));
        server.kill();
        sleep(Duration::from_millis(self.random.u64(0..500))).await;
        server.launch();
        self.count("kills: postmasters", 1);
    }

    fn acknowledged(&self) -> usize {
        self.world.acknowledged.lock().expect("no writer has panicked").len()
    }

    /// A worker stands still for a while; its site appends all the same.
    async fn stop_a_worker(&mut self) {
        let Some(process) = self.process("backend_type LIKE 'gundb%' AND datname IS NOT NULL").await else { return };
        if kill_process(process, Signal::STOP).is_err() {
            return;
        }
        let before = self.acknowledged();
        sleep(Duration::from_millis(self.random.u64(300..3_000))).await;
        let appended = self.acknowledged() - before;
        let _ = kill_process(process, Signal::CONT);
        self.count("workers stopped, and continued", 1);
        self.count("workers stopped: events acknowledged meanwhile", appended);
    }

    /// Further ahead than `gundb.max_time_drift` would do what it must: what is written then waits at the others for that time.
    fn move_a_clock(&mut self) {
        const YEAR: i64 = 365 * 24 * 3600;
        let machine = self.random.usize(..self.machines.len());
        let (what, ahead) = match self.random.u8(0..5) {
            0 => ("clocks set right", 0),
            1 | 2 => ("clocks ahead, up to two minutes", self.random.i64(1..120)),
            3 => ("clocks behind, up to ten minutes", -self.random.i64(1..600)),
            _ => ("clocks behind, up to ten years", -self.random.i64(YEAR..10 * YEAR)),
        };
        self.machines[machine].set_clock(ahead);
        self.count(what, 1);
    }

    /// The disk does not keep what it is told to. PostgreSQL ends itself then, and recovers.
    async fn fail_a_disk(&mut self) {
        let number = self.random.usize(..self.machines.len());
        let machine = self.machines[number].clone();
        let calls = self.random.i64(1..4);
        machine.fail_syncs(calls);
        let until = Instant::now() + Duration::from_secs(2);
        while machine.failing_syncs() > 0 && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
        let failed = calls - machine.failing_syncs();
        machine.fail_syncs(0);
        self.count("failed to bring data to the disk: calls", failed as usize);
        let Some(server) = self.world.servers.get(number).cloned() else { return };
        sleep(Duration::from_millis(500)).await;
        if !server.is_running() {
            server.launch();
            self.count("failed to bring data to the disk: servers that gave up recovering", 1);
        }
    }

    async fn fill_the_disk(&mut self) {
        let Some(disk) = &self.disk else { return };
        let server = self.world.sites[SMALL].cluster.clone();
        let before = self.world.refused.load(Relaxed);
        disk.fill();
        sleep(Duration::from_millis(self.random.u64(300..2_000))).await;
        disk.free();
        let refused = self.world.refused.load(Relaxed) - before;
        // One that had to recover just then gives up, as PostgreSQL does, and is started by whoever made room.
        sleep(Duration::from_millis(500)).await;
        if !server.is_running() {
            server.launch();
            self.count("full disks: servers that gave up recovering", 1);
        }
        self.count("full disks", 1);
        self.count("full disks: appends refused", refused);
    }
}
