//! Bundles that lie on their way to a peer: what they cover, and whether they can come to be taken in.
//!
//! What must always hold here: one counts only if what it follows is held by the peer or covered by others that count. One that follows what was lost would be
//! waited for, and wait itself; one with something that the peer does not take any more would be refused whole: it is of no use, and what it covers is put anew.

use gundb_core::bundle::{Bundle, From, Part, WireLimits, decode_bundle};
use gundb_core::{Clock, Dot, Run, SiteId, TransactionId};
use gundb_transport::courier::{CourierFault, Parcel, Sink};
use std::collections::{BTreeMap, HashMap};

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct OnTheWay(HashMap<Parcel, Lying>);

/// One of them.
#[derive(Debug, Clone)]
struct Lying {
    bundle: (SiteId, Run, u64),
    part: Option<(TransactionId, Part)>,
    /// What it follows.
    from: Clock,
    content: Clock,
}

/// A bundle, or all parts of a large transaction.
type Group = Vec<(Parcel, Lying)>;

impl OnTheWay {
    /// Looks at what lies there under other names than `but`. Gives what cannot be read: half a copy of what was put, or somebody's.
    pub(super) fn look(
        &mut self,
        sink: &mut dyn Sink,
        but: &str,
        limits: &WireLimits,
    ) -> Result<Vec<Parcel>, CourierFault> {
        let mut parcels = sink.parcels()?;
        parcels.retain(|parcel| parcel.name != but);
        self.0.retain(|parcel, _| parcels.binary_search(parcel).is_ok());
        let mut useless = Vec::new();
        for parcel in parcels.into_iter().filter(|parcel| !self.0.contains_key(parcel)).collect::<Vec<_>>() {
            let bundle = sink.read(&parcel)?.and_then(|bytes| decode_bundle(&bytes, limits).ok());
            match bundle.and_then(Lying::of) {
                Some(lying) => drop(self.0.insert(parcel, lying)),
                None => useless.push(parcel),
            }
        }
        Ok(useless)
    }

    /// Adds to `presumed`, which a peer is presumed to hold, what those cover that count; `ships` says what goes this way, and so whose predecessors have to.
    /// Gives what is confirmed by `holds`, or is of no use; and how many are neither.
    pub(super) fn count(
        &mut self,
        presumed: &mut Clock,
        holds: &Clock,
        ships: impl Fn(&Dot) -> bool,
    ) -> (Vec<Parcel>, u64) {
        let (mut done, mut unconfirmed) = (Vec::new(), 0);
        let is_taken = |group: &Group| {
            let mut covers = group.iter().flat_map(|(_, lying)| lying.content.iter());
            covers.all(|dot| holds.covers(&dot) || ships(&dot))
        };
        let (mut groups, refused): (Vec<Group>, Vec<Group>) = self.groups().into_iter().partition(is_taken);
        done.extend(refused.into_iter().flatten().map(|(parcel, _)| parcel));
        loop {
            let (follow, rest): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|group| {
                let mut needs = group.iter().flat_map(|(_, lying)| lying.from.iter());
                is_whole(group) && needs.all(|dot| presumed.covers(&dot) || !ships(&dot))
            });
            groups = rest;
            if follow.is_empty() {
                break;
            }
            for group in follow {
                if group.iter().all(|(_, lying)| lying.content <= *holds) {
                    done.extend(group.into_iter().map(|(parcel, _)| parcel));
                } else {
                    unconfirmed += group.len() as u64;
                    group.iter().for_each(|(_, lying)| *presumed = presumed.join(&lying.content));
                }
            }
        }
        done.extend(groups.into_iter().flatten().map(|(parcel, _)| parcel));
        for parcel in &done {
            self.0.remove(parcel);
        }
        (done, unconfirmed)
    }

    /// What lies there, in the order in which it was made.
    fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<(SiteId, Run, u64), Group> = BTreeMap::new();
        let mut first_of: BTreeMap<(SiteId, Run, TransactionId), u64> = BTreeMap::new();
        let mut all: Vec<(&Parcel, &Lying)> = self.0.iter().collect();
        all.sort_by_key(|(parcel, lying)| (lying.bundle, (*parcel).clone()));
        for (parcel, lying) in all {
            let (site, run, number) = lying.bundle;
            let key = match lying.part {
                // Parts with another first part are another attempt.
                Some((transaction, part)) if part.index == 0 => {
                    first_of.insert((site, run, transaction), number);
                    number
                }
                Some((transaction, _)) => *first_of.get(&(site, run, transaction)).unwrap_or(&number),
                None => number,
            };
            groups.entry((site, run, key)).or_default().push((parcel.clone(), lying.clone()));
        }
        groups.into_values().collect()
    }
}

impl Lying {
    fn of(bundle: Bundle) -> Option<Lying> {
        let content = content(&bundle);
        let From::Clock(from) = bundle.from else { return None };
        let transaction = bundle.transactions.first().map(|transaction| transaction.id);
        Some(Lying {
            bundle: (bundle.site, bundle.run, bundle.number),
            part: transaction.zip(bundle.part),
            from,
            content,
        })
    }
}

/// What a bundle covers.
pub(super) fn content(bundle: &Bundle) -> Clock {
    bundle.transactions.iter().flat_map(|transaction| &transaction.events).map(|event| event.dot).collect()
}

/// Whether all parts are there.
fn is_whole(group: &Group) -> bool {
    let mut parts: Vec<Part> = group.iter().filter_map(|(_, lying)| lying.part).map(|(_, part)| part).collect();
    parts.sort_by_key(|part| part.index);
    parts.dedup();
    let in_order = parts.iter().enumerate().all(|(at, part)| at as u64 == part.index);
    parts.is_empty() || in_order && parts.last().is_some_and(|part| part.is_last)
}
