//! Sessions of those who dial in by gRPC, passed on to a PostgreSQL site: each is a connection there, as the role of whoever dialled in.
//!
//! What must always hold here: what may flow says PostgreSQL, by what it granted the role; here it is only looked who comes.

use crate::peers::config::{Config, ConfigError};
use crate::peers::guests::Guests;
use gundb_transport::fault::Fault;
use gundb_transport::grpc::{Answers, Credentials, Refusal, RefusalKind, Sessions};
use gundb_transport::postgres::Target;
use gundb_transport::postgres::link::{self, Session};
use gundb_transport::session::{Caller, Function};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Where sessions are passed on.
pub struct Relay {
    target: Target,
    guests: Guests,
    network: Handle,
}

/// One session that is passed on.
pub struct Passed {
    session: Session,
    network: Handle,
    news: watch::Receiver<u64>,
    forwarding: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// To this database, for those of a configuration.
    pub fn new(target: Target, config: &Config, network: Handle) -> Result<Relay, ConfigError> {
        Ok(Relay { target, guests: Guests::new(config)?, network })
    }

    /// Another configuration holds for those who come from now on.
    pub fn renew(&self, config: &Config) -> Result<(), ConfigError> {
        self.guests.renew(config)
    }
}

impl Sessions for Relay {
    type Session = Passed;

    fn admit(&self, shown: &Credentials) -> Result<Passed, Refusal> {
        let guest = self.guests.guest(shown)?;
        let user = guest.grant.role.unwrap_or_else(|| self.target.user.clone());
        let target = Arc::new(Target { user, ..self.target.clone() });
        let session = self.network.block_on(link::Session::dial(&target, None)).map_err(|fault| refusal(&fault))?;
        let (tell, news) = watch::channel(0);
        let heard = Arc::clone(&session.news);
        let forwarding = self.network.spawn(async move {
            loop {
                heard.notified().await;
                tell.send_modify(|count| *count += 1);
            }
        });
        Ok(Passed { session, network: self.network.clone(), news, forwarding })
    }
}

impl Answers for Passed {
    fn answer(&mut self, function: Function, argument: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
        let argument = argument.map(<[u8]>::to_vec);
        let answered = self.network.block_on(self.session.caller.call(function, argument));
        answered.map_err(|fault| refusal(&fault))
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

fn refusal(fault: &Fault) -> Refusal {
    let kind = match fault {
        Fault::NotGranted { .. } | Fault::Denied { .. } => RefusalKind::Denied,
        // What PostgreSQL says of what it was told: a hello is due, or that was no message.
        Fault::Peer { sqlstate, .. } if sqlstate.starts_with("55") => RefusalKind::NotYet,
        Fault::Peer { sqlstate, .. } if sqlstate.starts_with("22") => RefusalKind::Invalid,
        Fault::Peer { .. } => RefusalKind::Failed,
        _ => RefusalKind::NotReady,
    };
    Refusal::new(kind, fault.to_string())
}
