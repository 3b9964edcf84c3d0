//! Parcels through a command: it takes them on its standard input, one framed message after the other, and gives others on its standard output. What carries
//! them is its affair: mail, a feed, a tape, a radio.
//!
//! What must always hold here: a command that hangs, floods, dies, or gives rubbish ends as an error that says so, with what it wrote to its standard error,
//! and leaves no process of its group behind; what came whole before that is kept. Bytes both ways, and time, are bounded.
//!
//! | module | one noun |
//! |---|---|
//! | `run` | one run of the command |
//! | `split` | parcels one after the other, taken apart |

mod run;
mod split;

use crate::courier::{Courier, CourierFault, Parcel, Sink, Source};
use crate::url::ExecTarget;
use std::collections::VecDeque;
use std::time::Duration;

pub use split::split;

/// How many bytes are given to one run, unless one parcel is larger.
const BATCH_BYTES: u64 = 32 << 20;

/// What a command may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long one run may take.
    pub timeout: Duration,
    /// How many bytes are given to one run.
    pub given_bytes_max: u64,
    /// How many bytes one run may give.
    pub taken_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { timeout: Duration::from_secs(120), given_bytes_max: 32 << 20, taken_bytes_max: 128 << 20 }
    }
}

/// A command as a way to a peer. Each flush is a run.
#[derive(Debug)]
pub struct Command {
    incoming: Came,
    outgoing: Given,
}

#[derive(Debug, Default)]
struct Came {
    parcels: VecDeque<(Parcel, Vec<u8>)>,
}

#[derive(Debug)]
struct Given {
    target: ExecTarget,
    own: String,
    peer: String,
    limits: Limits,
    waiting: Vec<Vec<u8>>,
    waiting_bytes: u64,
    came: Vec<Vec<u8>>,
}

impl Command {
    /// The way between the site of the name `own` and the peer of the name `peer`, which the command finds in `GUNDB_SITE` and `GUNDB_PEER`.
    pub fn new(target: ExecTarget, own: &str, peer: &str, limits: Limits) -> Command {
        Command {
            incoming: Came::default(),
            outgoing: Given {
                target,
                own: own.to_owned(),
                peer: peer.to_owned(),
                limits,
                waiting: Vec::new(),
                waiting_bytes: 0,
                came: Vec::new(),
            },
        }
    }
}

impl Courier for Command {
    fn open(&mut self) -> Result<(), CourierFault> {
        Ok(())
    }

    fn incoming(&mut self) -> &mut dyn Source {
        for bytes in self.outgoing.came.drain(..) {
            let place = self.incoming.parcels.back().map_or(0, |(parcel, _)| parcel.changed_ns + 1);
            let parcel = Parcel { name: format!("{place:020}"), bytes: bytes.len() as u64, changed_ns: place };
            self.incoming.parcels.push_back((parcel, bytes));
        }
        // What nobody took is given again: so much of it is kept.
        let mut bytes: u64 = self.incoming.parcels.iter().map(|(parcel, _)| parcel.bytes).sum();
        while bytes > self.outgoing.limits.taken_bytes_max
            && let Some((parcel, _)) = self.incoming.parcels.pop_front()
        {
            bytes -= parcel.bytes;
        }
        &mut self.incoming
    }

    fn outgoing(&mut self) -> &mut dyn Sink {
        &mut self.outgoing
    }

    fn parcel_bytes_max(&self) -> u64 {
        self.outgoing.limits.given_bytes_max
    }

    fn batch_bytes_max(&self) -> Option<u64> {
        Some(self.outgoing.limits.given_bytes_max.min(BATCH_BYTES))
    }

    fn keeps(&self) -> bool {
        false
    }
}

impl Source for Came {
    fn parcels(&mut self) -> Result<Vec<Parcel>, CourierFault> {
        Ok(self.parcels.iter().map(|(parcel, _)| parcel.clone()).collect())
    }

    fn read(&mut self, parcel: &Parcel) -> Result<Option<Vec<u8>>, CourierFault> {
        Ok(self.parcels.iter().find(|(there, _)| there == parcel).map(|(_, bytes)| bytes.clone()))
    }

    fn remove(&mut self, parcel: &Parcel) -> Result<(), CourierFault> {
        self.parcels.retain(|(there, _)| there != parcel);
        Ok(())
    }
}

/// What was given to a command is out of sight.
impl Source for Given {
    fn parcels(&mut self) -> Result<Vec<Parcel>, CourierFault> {
        Ok(Vec::new())
    }

    fn read(&mut self, _: &Parcel) -> Result<Option<Vec<u8>>, CourierFault> {
        Ok(None)
    }

    fn remove(&mut self, _: &Parcel) -> Result<(), CourierFault> {
        Ok(())
    }
}

impl Sink for Given {
    fn put(&mut self, _name: &str, bytes: &[u8]) -> Result<(), CourierFault> {
        let limit = self.limits.given_bytes_max;
        if self.waiting_bytes + bytes.len() as u64 > limit {
            return Err(CourierFault::TooMuch { limit });
        }
        self.waiting_bytes += bytes.len() as u64;
        self.waiting.push(bytes.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CourierFault> {
        self.waiting_bytes = 0;
        let given = std::mem::take(&mut self.waiting).concat();
        let names = [("GUNDB_SITE", self.own.as_str()), ("GUNDB_PEER", self.peer.as_str())];
        let ran = run::run(&self.target.command, &names, given, &self.limits)?;
        let (came, rest) = split(&ran.output, self.limits.taken_bytes_max);
        let after = came.len();
        self.came.extend(came.into_iter().map(<[u8]>::to_vec));
        match (rest, ran.trouble) {
            (_, Some(trouble)) => Err(trouble),
            (Err(why), None) => Err(CourierFault::Rubbish { after, why: why.to_string(), said: ran.said }),
            (Ok(()), None) => Ok(()),
        }
    }
}
