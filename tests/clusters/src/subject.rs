//! A session that is given bad input and must survive it.

use crate::{Cluster, Postgres, Session, events};
use std::time::{Duration, Instant};

/// However bad the input is, the answer must not take longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and a session that must survive the test.
pub struct Subject {
    pub cluster: Cluster,
    pub session: Session,
    backend: String,
}

impl Subject {
    pub async fn new(settings: &[(&str, &str)]) -> Subject {
        let cluster = Cluster::start(&Postgres::fifteen(), settings);
        let session = cluster.database("input").await;
        session.run("SELECT gundb.create_stream('moves')").await;
        let backend = session.value("SELECT pg_backend_pid()").await;
        Subject { cluster, session, backend }
    }

    /// Each statement must be refused with its SQLSTATE, in time.
    pub async fn refused(&self, cases: &[(&str, &str)]) {
        for (sqlstate, sql) in cases {
            let start = Instant::now();
            assert_eq!(&self.session.refusal(sql).await, sqlstate, "{}", sql.chars().take(200).collect::<String>());
            assert!(
                start.elapsed() < PATIENCE,
                "took {:?}: {}",
                start.elapsed(),
                sql.chars().take(200).collect::<String>()
            );
        }
        self.assert_well().await;
    }

    /// The backend lives, no other has crashed, and the stream is whole.
    pub async fn assert_well(&self) {
        assert_eq!(self.session.value("SELECT pg_backend_pid()").await, self.backend);
        assert_eq!(self.cluster.log_count("terminated by signal"), 0);
        self.session.run("INSERT INTO moves (type) VALUES ('Well')").await;
        events::assert_whole(&self.session, "moves").await;
    }
}
