//! What is known of ways as bytes: in a hello, and as a site keeps it.

use std::collections::BTreeMap;

use prost::Message;

use crate::bundle::decode::read;
use crate::bundle::scan::{self, scan};
use crate::bundle::{WireError, WireLimits, fields, proto};
use crate::id::{SEQ_MAX, SiteId};
use crate::store::Links;
use crate::sync::filter::{Filter, Flow};
use crate::sync::message::Accept;
use crate::sync::ways::{Way, Ways, Word};

/// What a site remembers of its links, as bytes that it keeps.
pub fn encode_links(links: &Links) -> Vec<u8> {
    let heard = |(name, sites): (&String, &BTreeMap<SiteId, Filter>)| proto::Link {
        name: name.clone(),
        heard: sites.iter().map(tell_heard).collect(),
    };
    let message = proto::Links { links: links.heard.iter().map(heard).collect(), ways: tell_words(&links.ways) };
    message.encode_to_vec()
}

/// Reads [`encode_links`] back.
pub fn decode_links(bytes: &[u8], limits: &WireLimits) -> Result<Links, WireError> {
    scan(bytes, scan::LINKS, limits)?;
    let message = read::<proto::Links>(bytes.to_vec().into())?;
    let mut heard = BTreeMap::new();
    for link in message.links {
        let site = |heard: &proto::Heard| {
            Ok((fields::site("links.heard.site", &heard.site)?, filter("links.heard.push", &heard.push)?))
        };
        heard.insert(link.name, link.heard.iter().map(site).collect::<Result<_, WireError>>()?);
    }
    Ok(Links { heard, ways: words(&message.ways)? })
}

fn tell_heard((site, push): (&SiteId, &Filter)) -> proto::Heard {
    proto::Heard { site: site.0.into_bytes().to_vec().into(), push: push.patterns().collect() }
}

pub(super) fn tell_words(ways: &Ways) -> Vec<proto::Word> {
    ways.iter().map(|(site, word)| tell_word(site, word)).collect()
}

fn tell_word(site: SiteId, word: &Word) -> proto::Word {
    let way = |way: &Way| proto::Way {
        from: way.from.map_or_else(Vec::new, |from| from.0.into_bytes().to_vec()).into(),
        push: way.flow.push.patterns().collect(),
        pull: way.flow.pull.patterns().collect(),
        accept: tell_accept(way.accept).into(),
    };
    let ways = word.ways.iter().map(way).collect();
    proto::Word { site: site.0.into_bytes().to_vec().into(), version: word.version, ways }
}

/// The words of sites, which ascend by their sites.
pub(super) fn words(words: &[proto::Word]) -> Result<Ways, WireError> {
    let word = |(at, word): (usize, &proto::Word)| {
        let malformed = |why| Err(WireError::entry("ways", at, why));
        let site = fields::site("ways.site", &word.site)?;
        if !(1..=SEQ_MAX).contains(&word.version) {
            return malformed("has no version");
        }
        let ways = word.ways.iter().map(way).collect::<Result<Vec<_>, _>>()?;
        if !ways.is_sorted() {
            return malformed("has ways that are not sorted");
        }
        Ok((site, Word { version: word.version, ways }))
    };
    let words = words.iter().enumerate().map(word).collect::<Result<Vec<_>, WireError>>()?;
    if !words.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(WireError::malformed("ways", "are not sorted by site"));
    }
    Ok(words.into_iter().collect())
}

fn way(way: &proto::Way) -> Result<Way, WireError> {
    let from = if way.from.is_empty() { None } else { Some(fields::site("ways.from", &way.from)?) };
    let flow = Flow { push: filter("ways.push", &way.push)?, pull: filter("ways.pull", &way.pull)? };
    Ok(Way { from, flow, accept: accept("ways.accept", way.accept)? })
}

pub(super) fn tell_accept(accept: Accept) -> proto::Accept {
    match accept {
        Accept::Own => proto::Accept::Own,
        Accept::Any => proto::Accept::Any,
    }
}

pub(super) fn accept(field: &'static str, accept: i32) -> Result<Accept, WireError> {
    match proto::Accept::try_from(accept) {
        Ok(proto::Accept::Own) => Ok(Accept::Own),
        Ok(proto::Accept::Any) => Ok(Accept::Any),
        _ => Err(WireError::malformed(field, "is neither own nor any")),
    }
}

pub(super) fn filter(field: &'static str, patterns: &[String]) -> Result<Filter, WireError> {
    Filter::parse(patterns).map_err(|problem| WireError::Filter { field, problem })
}
