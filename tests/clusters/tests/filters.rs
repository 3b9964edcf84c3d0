//! Filters that differ by link: what comes by some way comes, causes first, and what comes by none holds nothing up.

use gundb_clusters::sites::url;
use gundb_clusters::{Cluster, Postgres, Session};
use std::time::{Duration, Instant};

/// However slow the machine is, what is expected comes within this time.
const PATIENCE: Duration = Duration::from_secs(90);

struct Sites(Cluster);

impl Sites {
    async fn new(names: &[&str]) -> Sites {
        let cluster = Cluster::start(&Postgres::fifteen(), &[("max_worker_processes", "24")]);
        for name in names {
            let session = cluster.database(name).await;
            session.run(&format!("SELECT gundb.set_site_name('{name}')")).await;
            session.run("SELECT gundb.create_stream('orders'); SELECT gundb.create_stream('audit')").await;
        }
        cluster.connect("postgres").await.run("CREATE ROLE peer LOGIN").await;
        Sites(cluster)
    }

    /// Others may dial in.
    async fn opens(&self, site: &str) {
        self.at(site).await.run("SELECT gundb.grant_peer('peer', accept => 'any')").await;
    }

    async fn at(&self, site: &str) -> Session {
        self.0.connect(site).await
    }

    /// One site dials another, and takes these streams from it.
    async fn dials(&self, from: &str, to: &str, pull: &str) {
        let url = url(self.0.home(), "peer", to);
        self.at(from).await.run(&format!("SELECT gundb.add_peer('{to}', '{url}', pull => '{pull}')")).await;
    }

    /// Writes what happened, and then the order that says so.
    async fn writes(&self, site: &str, count: u32) {
        let session = self.at(site).await;
        for _ in 0..count {
            session
                .run("INSERT INTO audit (type) VALUES ('Looked'); INSERT INTO orders (type) VALUES ('Ordered')")
                .await;
        }
    }

    async fn comes_to(&self, site: &str, query: &str, expected: &str) {
        let session = self.at(site).await;
        let until = Instant::now() + PATIENCE;
        loop {
            let value = session.value(query).await;
            if value == expected {
                return;
            }
            if Instant::now() > until {
                let status = session.value("SELECT string_agg(s::text, E'\\n') FROM gundb.peer_status s").await;
                panic!("at {site} {query} gives {value}, not {expected}\n{status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

const ORDERS: &str = "SELECT count(*) FROM orders";
const AUDIT: &str = "SELECT count(*) FROM audit";

#[tokio::test]
async fn a_stream_that_a_peer_does_not_get_is_not_waited_for_and_comes_first_once_it_does() {
    let sites = Sites::new(&["hub", "branch", "desk", "shop"]).await;
    sites.opens("hub").await;
    sites.opens("branch").await;
    // The desk takes orders from the hub, and everything from the branch, which gets no audit.
    sites.dials("shop", "hub", "{*}").await;
    sites.dials("branch", "hub", "{orders}").await;
    sites.dials("desk", "hub", "{orders}").await;
    sites.dials("desk", "branch", "{*}").await;
    sites.writes("shop", 20).await;
    for site in ["hub", "branch", "desk"] {
        sites.comes_to(site, ORDERS, "20").await;
    }
    sites.comes_to("hub", AUDIT, "20").await;
    sites.comes_to("desk", AUDIT, "0").await;
    sites.comes_to("desk", "SELECT gundb.sync_now('hub', '60 s') AND gundb.sync_now('branch', '60 s')", "t").await;
    // Now it comes by the branch.
    let branch = sites.at("branch").await;
    branch.run("SELECT gundb.alter_peer('hub', pull => '{*}')").await;
    sites.comes_to("branch", AUDIT, "20").await;
    sites.comes_to("desk", AUDIT, "20").await;
    sites.writes("shop", 20).await;
    // However it looks, who sees an order sees what was written before it.
    let desk = sites.at("desk").await;
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = desk.value("SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT count(*) FROM audit)").await;
        let (orders, audit) = seen.split_once(' ').expect("two numbers");
        let (orders, audit): (u32, u32) = (orders.parse().unwrap(), audit.parse().unwrap());
        assert!(audit >= orders, "{orders} orders and {audit} audited");
        if orders == 40 {
            break;
        }
        assert!(Instant::now() < until, "{orders} orders have come");
    }
}

#[tokio::test]
async fn devices_bring_their_readings_and_take_what_is_configured_and_nothing_of_each_other() {
    let sites = Sites::new(&["hub", "one", "two"]).await;
    let hub = sites.at("hub").await;
    hub.run("SELECT gundb.grant_peer('peer', push => '{audit}', pull => '{orders}')").await;
    for device in ["one", "two"] {
        let url = url(sites.0.home(), "peer", "hub");
        let add = format!("SELECT gundb.add_peer('hub', '{url}', push => '{{audit}}', pull => '{{orders}}')");
        sites.at(device).await.run(&add).await;
    }
    for round in 1..=5 {
        hub.run("INSERT INTO orders (type) VALUES ('Configured')").await;
        for device in ["one", "two"] {
            sites.comes_to(device, ORDERS, &round.to_string()).await;
            sites.at(device).await.run("INSERT INTO audit (type) VALUES ('Read')").await;
        }
        sites.comes_to("hub", AUDIT, &(2 * round).to_string()).await;
    }
    for device in ["one", "two"] {
        sites.comes_to(device, AUDIT, "5").await;
        sites.comes_to(device, "SELECT gundb.sync_now('hub', '60 s')", "t").await;
    }
}
