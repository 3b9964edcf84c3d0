//! What a site remembers of its links: who was heard over each, and by which ways events come to those.
//!
//! What must always hold here: a link over which nobody was heard yet may bring anything. Where some have dialled in, others who may bring nothing until they do.

use std::collections::BTreeMap;

use crate::bundle::{WireError, WireLimits, decode_links, encode_links};
use crate::id::SiteId;
use crate::sync::filter::{Filter, Flow};
use crate::sync::message::{Accept, Hello};
use crate::sync::ways::{Way, Ways};

/// Of how many sites it is remembered that they came by one link.
const SITES_MAX: usize = 1_000;

/// A link by which events may come here, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is known by.
    pub name: String,
    /// What is taken from it.
    pub pull: Filter,
    /// Whose events are taken from it.
    pub accept: Accept,
    /// Whether this site dials, and so expects one peer there; else any number may dial in.
    pub is_dialled: bool,
}

/// What a site remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// Who was heard over a link, and what it sends.
    pub heard: BTreeMap<String, BTreeMap<SiteId, Filter>>,
    /// By which ways events come here, and to those from whom they come.
    pub ways: Ways,
}

impl Links {
    /// By which ways events come to the site that has these links.
    pub fn say(&mut self, own: SiteId, links: &[Link]) {
        let mut ways = Vec::new();
        for Link { name, pull, accept, .. } in links {
            let way = |from, push: &Filter| {
                let flow = Flow { push: push.clone(), pull: pull.clone() };
                Way { from, flow, accept: *accept }
            };
            match self.heard.get(name) {
                Some(heard) => ways.extend(heard.iter().map(|(site, push)| way(Some(*site), push))),
                None => ways.push(way(None, &Filter::all())),
            }
        }
        self.ways.say(own, ways);
    }

    /// Hears a hello over one of them.
    pub fn hear(&mut self, own: SiteId, links: &[Link], over: &Link, theirs: &Hello) {
        let heard = self.heard.entry(over.name.clone()).or_default();
        if over.is_dialled {
            heard.retain(|site, _| *site == theirs.site);
        } else if heard.len() >= SITES_MAX && !heard.contains_key(&theirs.site) {
            heard.pop_first();
        }
        heard.insert(theirs.site, theirs.push.clone());
        self.say(own, links);
        self.ways.learn(&theirs.ways, own, over.accept);
        // Its own word may have to be said anew.
        self.say(own, links);
    }

    /// As bytes, to be kept.
    pub fn encode(&self) -> Vec<u8> {
        encode_links(self)
    }

    /// Reads [`Links::encode`] back.
    pub fn decode(bytes: &[u8], limits: &WireLimits) -> Result<Links, WireError> {
        decode_links(bytes, limits)
    }
}
