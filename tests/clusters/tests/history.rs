//! Histories from real servers: three sites of two versions of PostgreSQL, whose cables are cut and mended, whose sessions
//! are thrown out, and one of which is killed. What the sessions saw must be causally consistent, with whole transactions,
//! and every session must see what it wrote and saw before, also where it moves to another site and takes its clock along.
//!
//! `GUNDB_HISTORIES` says how many, each with another topology in turn, `GUNDB_TRANSACTIONS` how long each is.

use gundb_clusters::history::{Arbitration, History, Operation, Outcome, Session as Told, Transaction, check};
use gundb_clusters::proxy::{Cable, until};
use gundb_clusters::session::{Failure, Result};
use gundb_clusters::sites::{Topology, World};
use gundb_clusters::{Postgres, Session, seed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const SITES: usize = 3;
/// Sessions that begin at each site.
const SESSIONS: usize = 4;
const STREAMS: [&str; 2] = ["moves", "payments"];
/// Keys of each stream: few enough that sites write the same ones at the same time.
const KEYS: u8 = 30;
const PATIENCE: Duration = Duration::from_secs(90);

/// One statement of a transaction.
enum Step {
    Write { stream: &'static str, rows: Vec<(u8, u64)> },
    List { stream: &'static str, key: u8 },
    Read { stream: &'static str, key: u8 },
}

impl Step {
    fn sql(&self) -> String {
        match self {
            Step::Write { stream, rows } => {
                let row = |(key, value)| format!("('Moved', 'k{key}', '{{\"v\": {value}}}')");
                let rows: Vec<_> = rows.iter().copied().map(row).collect();
                format!("INSERT INTO {stream} (type, key, data) VALUES {}", rows.join(", "))
            }
            Step::List { stream, key } => format!(
                "SELECT coalesce(string_agg(data ->> 'v', ' ' ORDER BY hlc, site, lane, seq), '') FROM {stream} WHERE key = 'k{key}'"
            ),
            // A key that waits for events lags behind its stream, and is listed.
            Step::Read { stream, key } => format!(
                "SELECT coalesce((SELECT last FROM last_{stream} WHERE key = 'k{key}'), ''),
                        (SELECT count(*) FROM gundb.pending WHERE view = 'last_{stream}'::regclass AND coalesce(key, 'k{key}') LIKE '%k{key}%')"
            ),
        }
    }

    /// What was done, or read. Nothing where the view was known to lag.
    fn operations(&self, rows: &[Vec<String>]) -> Vec<Operation> {
        let name = |stream: &str, key: &u8| format!("{stream}.k{key}");
        let number = |value: &str| value.parse().expect("a value is a number");
        match self {
            Step::Write { stream, rows } => {
                rows.iter().map(|(key, value)| Operation::Write { key: name(stream, key), value: *value }).collect()
            }
            Step::List { stream, key } => {
                let values = rows[0][0].split_whitespace().map(number).collect();
                vec![Operation::List { key: name(stream, key), values }]
            }
            Step::Read { .. } if rows[0][1] != "0" => Vec::new(),
            Step::Read { stream, key } => {
                let value = rows[0][0].split_whitespace().next().map(number);
                vec![Operation::Read { key: name(stream, key), value }]
            }
        }
    }
}

/// What all sessions share.
struct Stage {
    world: World,
    transactions: usize,
    told: AtomicUsize,
    value: AtomicU64,
    lagging: AtomicUsize,
    moved: AtomicUsize,
}

impl Stage {
    fn is_over(&self) -> bool {
        self.told.load(Relaxed) >= self.transactions
    }
}

/// A session that remembers what it did and saw.
struct Teller {
    stage: Arc<Stage>,
    site: usize,
    told: Told,
    random: fastrand::Rng,
}

impl Teller {
    fn begin(stage: &Arc<Stage>, number: usize, random: fastrand::Rng) -> Teller {
        let told = Told { name: format!("session{number}"), transactions: Vec::new() };
        Teller { stage: stage.clone(), site: number % SITES, told, random }
    }

    async fn tell(mut self) -> Teller {
        while !self.stage.is_over() {
            match self.stage.world.sites[self.site].try_session().await {
                Ok(session) => drop(self.serve(session).await),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
        self
    }

    /// Until the session is lost.
    async fn serve(&mut self, mut session: Session) -> Result<()> {
        while !self.stage.is_over() {
            let steps = self.steps();
            self.transaction(&session, &steps).await?;
            self.stage.told.fetch_add(1, Relaxed);
            sleep(Duration::from_millis(self.random.u64(..20))).await;
            if self.random.u8(..60) == 0 {
                session = self.go_elsewhere(session).await?;
            }
        }
        Ok(())
    }

    fn steps(&mut self) -> Vec<Step> {
        let (writes, reads) = match self.random.u8(..10) {
            0..4 => (self.random.usize(1..3), 0),
            4..8 => (0, self.random.usize(1..5)),
            _ => (1, self.random.usize(1..4)),
        };
        let stream = |random: &mut fastrand::Rng| STREAMS[random.usize(..STREAMS.len())];
        let mut steps = Vec::new();
        for _ in 0..reads {
            let (stream, key) = (stream(&mut self.random), self.random.u8(..KEYS));
            steps.push(if self.random.bool() { Step::List { stream, key } } else { Step::Read { stream, key } });
        }
        for _ in 0..writes {
            let count = self.random.u64(1..4);
            let first = self.stage.value.fetch_add(count, Relaxed);
            // In the order of keys, as a client does that wants no deadlocks.
            let mut keys: Vec<u8> = (0..count).map(|_| self.random.u8(..KEYS)).collect();
            keys.sort_unstable();
            let rows: Vec<(u8, u64)> = keys.into_iter().zip(first..).collect();
            let (stream, key) = (stream(&mut self.random), rows[0].0);
            steps.push(Step::Write { stream, rows });
            if reads > 0 {
                steps.extend([Step::List { stream, key }, Step::Read { stream, key }]);
            }
        }
        steps
    }

    /// Fails if the session is lost. What it did is told however it ends.
    async fn transaction(&mut self, session: &Session, steps: &[Step]) -> Result<()> {
        let (mut operations, mut lagging) = (Vec::new(), 0);
        let ended: Result<()> = async {
            let is_reading = steps.iter().any(|step| !matches!(step, Step::Write { .. }));
            session.try_run(if is_reading { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" }).await?;
            for step in steps {
                // What is written counts even if nobody hears that it was.
                if let Step::Write { .. } = step {
                    operations.extend(step.operations(&[]));
                }
                let rows = session.try_rows(&step.sql()).await?;
                if !matches!(step, Step::Write { .. }) {
                    let read = step.operations(&rows);
                    lagging += usize::from(read.is_empty());
                    operations.extend(read);
                }
            }
            session.try_run("COMMIT").await
        }
        .await;
        let (outcome, ended) = match ended {
            Ok(()) => (Outcome::Committed, Ok(())),
            Err(failure) if failure.is_crash() => (Outcome::Unanswered, Err(failure)),
            Err(Failure::Refused(error)) if matches!(error.code().code(), "40001" | "40P01") => {
                (Outcome::RolledBack, session.try_run("ROLLBACK").await)
            }
            Err(failure) => panic!("a transaction of {} failed: {failure}", self.told.name),
        };
        self.stage.lagging.fetch_add(lagging, Relaxed);
        self.told.transactions.push(Transaction { outcome, operations });
        ended
    }

    /// To another site, once that holds what is known here; back, if that takes too long.
    async fn go_elsewhere(&mut self, session: Session) -> Result<Session> {
        let clock = session.try_value("SELECT gundb.site_clock()").await?;
        let site = self.random.usize(..SITES);
        let Ok(there) = self.stage.world.sites[site].try_session().await else { return Ok(session) };
        let holds = there.try_value(&format!("SELECT gundb.wait_for('{clock}', timeout => '2 s')")).await;
        if !holds.is_ok_and(|holds| holds == "t") {
            return Ok(session);
        }
        self.stage.moved.fetch_add(usize::from(site != self.site), Relaxed);
        self.site = site;
        Ok(there)
    }

    /// In the end everybody looks at everything.
    async fn look_at_all(&mut self) {
        let session = self.stage.world.sites[self.site].session().await;
        let all = || STREAMS.into_iter().flat_map(|stream| (0..KEYS).map(move |key| (stream, key)));
        let mut steps: Vec<_> = all().map(|(stream, key)| Step::List { stream, key }).collect();
        steps.extend(all().map(|(stream, key)| Step::Read { stream, key }));
        self.transaction(&session, &steps).await.expect("a last look");
    }
}

/// Cuts and mends cables and throws sessions out, until enough is told; on its way kills one server.
async fn torment(stage: Arc<Stage>, mut random: fastrand::Rng) -> BTreeMap<&'static str, usize> {
    let mut done = BTreeMap::new();
    let (world, kill_at) = (&stage.world, random.usize(stage.transactions / 4..stage.transactions * 3 / 4));
    let mut is_killed = false;
    while !stage.is_over() {
        sleep(Duration::from_millis(random.u64(50..500))).await;
        let link = &world.links[random.usize(..world.links.len())];
        let server = &world.servers[random.usize(..world.servers.len())];
        let what = match random.u8(0..10) {
            _ if !is_killed && stage.told.load(Relaxed) > kill_at => {
                is_killed = true;
                server.kill();
                sleep(Duration::from_millis(random.u64(0..500))).await;
                server.launch();
                "server killed"
            }
            0..3 => {
                link.cable.set(Cable::Cut);
                "cut"
            }
            3..5 => {
                link.cable.set(Cable::Silent);
                "silent"
            }
            5..8 => {
                link.cable.set(Cable::Whole);
                "mended"
            }
            _ => {
                let out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                            WHERE application_name = 'clusters' AND datname LIKE 'site%' ORDER BY random() LIMIT 1";
                let Ok(session) = server.try_connect("postgres").await else { continue };
                if session.try_run(out).await.is_err() {
                    continue;
                }
                "thrown out"
            }
        };
        *done.entry(what).or_default() += 1;
    }
    world.set_cables(Cable::Whole);
    done
}

async fn stage(topology: Topology, transactions: usize) -> Arc<Stage> {
    let mut world = World::new(&Postgres::all(), SITES, SITES).await;
    for site in &world.sites {
        let session = site.session().await;
        session.run(&format!("SELECT gundb.create_stream('{}')", STREAMS[1])).await;
        for stream in STREAMS {
            let last = r#"{"last": {"fold": "lww", "value": "v"}}"#;
            session.run(&format!("SELECT gundb.create_view('last_{stream}', '{stream}', '{last}')")).await;
        }
    }
    world.connect_all(topology).await;
    let [told, lagging, moved] = [const { AtomicUsize::new(0) }; 3];
    Arc::new(Stage { world, transactions, told, value: AtomicU64::new(1), lagging, moved })
}

/// A history like one from sites that lose one in a hundred of what they hold.
fn damaged(history: &History, random: &mut fastrand::Rng) -> History {
    let mut damaged = history.clone();
    let transactions = damaged.sessions.iter_mut().flat_map(|session| &mut session.transactions);
    for operation in transactions.flat_map(|transaction| &mut transaction.operations) {
        if let Operation::List { values, .. } = operation {
            values.retain(|_| random.f64() > 0.01);
        }
    }
    damaged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sessions_see_is_causally_consistent_while_cables_are_cut_and_a_server_dies() {
    let transactions = seed::count("GUNDB_TRANSACTIONS", 4_000);
    let mut random = seed::generator();
    for number in 0..seed::count("GUNDB_HISTORIES", 1) {
        let topology = [Topology::Ring, Topology::Chain, Topology::Mesh][number % 3];
        let stage = stage(topology, transactions).await;
        let begun = Instant::now();
        let tellers = (0..SITES * SESSIONS).map(|number| Teller::begin(&stage, number, random.fork()).tell());
        let tellers: Vec<_> = tellers.map(tokio::spawn).collect();
        let done = torment(stage.clone(), random.fork()).await;
        let mut history = History::default();
        let mut ended = Vec::new();
        for teller in tellers {
            ended.push(teller.await.expect("a session failed"));
        }
        let took = begun.elapsed();
        stage.world.converge(PATIENCE).await;
        for what in ["SELECT gundb.site_clock()", "SELECT count(*) FROM gundb.pending"] {
            let all = || async { stage.world.each(what).await.windows(2).all(|pair| pair[0] == pair[1]) };
            until(PATIENCE, all, || what).await;
        }
        for mut teller in ended {
            teller.look_at_all().await;
            history.sessions.push(teller.told);
        }
        stage.world.assert_well().await;
        for stream in STREAMS {
            let wrong = stage.world.each(&format!("SELECT count(*) FROM gundb.check_view('last_{stream}')")).await;
            assert!(wrong.iter().all(|count| count == "0"), "last_{stream}: {wrong:?}");
        }

        let checking = Instant::now();
        let checked = check(&history, Arbitration::Writes).unwrap_or_else(|anomaly| panic!("{anomaly}"));
        let checking = checking.elapsed();
        assert!(check(&damaged(&history, &mut random), Arbitration::Writes).is_err(), "a damaged history is accepted");
        let outcomes = [Outcome::Committed, Outcome::RolledBack, Outcome::Unanswered].map(|outcome| {
            let all = history.sessions.iter().flat_map(|session| &session.transactions);
            all.filter(|transaction| transaction.outcome == outcome).count()
        });
        println!(
            "{topology:?}: {} transactions in {took:.1?}: {} committed, {} rolled back, {} unanswered; {done:?}; sessions went \
             elsewhere {} times; {} reads of keys that lagged left out",
            history.len(),
            outcomes[0],
            outcomes[1],
            outcomes[2],
            stage.moved.load(Relaxed),
            stage.lagging.load(Relaxed),
        );
        println!("checked in {checking:.1?}: {checked:?}, 0 anomalies");
        if let Err(anomaly) = check(&history, Arbitration::Transactions) {
            println!("whole transactions are not put in order as one: {anomaly}");
        }
    }
}
