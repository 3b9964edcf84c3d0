//! Random messages between sites, as a sender could make them.

use gundb_core::bundle::{Bundle, EpochPart, From, Part};
use gundb_core::sync::filter::{Filter, Flow};
use gundb_core::sync::message::{Accept, Hello, Outcome, Receipt, Refused};
use gundb_core::sync::ways::{Way, Ways, Word};
use gundb_core::{Chain, Epoch, Event, Hlc, Run, SEQ_MAX, Transaction};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::{any_clock, any_dot, any_hlc, any_lane, any_seq, any_site};

pub fn any_run() -> impl Strategy<Value = Run> {
    any_lane().prop_map(|lane| lane.run())
}

fn any_epoch_number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..5u64, 1 => 0..=SEQ_MAX]
}

fn any_text() -> impl Strategy<Value = String> {
    // Faster by far than patterns, which are parsed for each.
    let characters =
        vec(prop_oneof![4 => proptest::char::range('a', 'z'), 1 => proptest::char::range('\u{1}', char::MAX)], 0..5);
    characters.prop_map(String::from_iter)
}

/// An event; of its transaction it is made one later.
fn any_event() -> impl Strategy<Value = Event> {
    let meta = prop_oneof![3 => Just("{}".to_owned()), 1 => any_text().prop_map(|text| format!("{{{text}}}"))];
    let texts = (any_text(), proptest::option::of(any_text()), any_text(), meta);
    let bytes = (any::<u128>(), any::<[u8; 16]>(), any::<[u8; 16]>());
    (any_dot(), any_hlc(), any_epoch_number(), bytes, texts).prop_map(
        |(dot, hlc, epoch, (id, salt, chain), (kind, key, data, meta))| Event {
            dot,
            hlc,
            xact: hlc,
            epoch,
            id: Uuid::from_u128(id),
            kind,
            key,
            data,
            meta,
            salt,
            chain: Chain(chain),
        },
    )
}

/// A transaction of one run, its events in total order; lanes may have gaps, and chains mean nothing.
pub fn any_transaction() -> impl Strategy<Value = Transaction> {
    (vec(any_event(), 1..5), any_hlc(), any::<Option<u16>>()).prop_map(|(mut events, xact, beyond)| {
        let xact = events.iter().map(|event| event.hlc).min().unwrap_or(Hlc::MIN).min(xact);
        let first = events.first().map(|event| event.dot).unwrap();
        for event in &mut events {
            event.dot.site = first.site;
            event.dot.lane = super::lane(first.lane.run().number(), event.dot.lane.number());
            event.xact = xact;
        }
        events.sort_by(Event::cmp_total);
        events.dedup_by_key(|event| event.total_order_key());
        let mut transaction = Transaction::new(events.first().unwrap().transaction(), events);
        let beyond = transaction.ends.to_bits().saturating_add(u64::from(beyond.unwrap_or(0)));
        transaction.ends = Hlc::from_bits(beyond).unwrap_or(transaction.ends);
        transaction
    })
}

fn any_from() -> impl Strategy<Value = From> {
    prop_oneof![
        any_clock().prop_map(From::Clock),
        (any::<[u8; 16]>(), any_clock()).prop_map(|(digest, beside)| From::Session { digest, beside }),
    ]
}

fn any_epoch_part() -> impl Strategy<Value = EpochPart> {
    (any_site(), any_run(), any_epoch_number(), any::<Option<u64>>(), any_clock()).prop_map(
        |(site, run, number, base, clock)| EpochPart {
            epoch: Epoch { site, run, number },
            base: base.and_then(|base| base.checked_rem(number)),
            clock,
        },
    )
}

/// A bundle of transactions, or of a part of one: then its events may come in any order.
pub fn any_bundle() -> impl Strategy<Value = Bundle> {
    let part = proptest::option::weighted(0.2, (any::<u64>(), any::<bool>()));
    let coordinates = (any_site(), any_run(), any_seq(), any_from(), part);
    (coordinates, vec(any_epoch_part(), 0..4), vec(any_transaction(), 1..6)).prop_map(
        |((site, run, number, from, part), epochs, mut transactions)| {
            let part = part.map(|(index, is_last)| Part { index, is_last });
            if part.is_some() {
                transactions.truncate(1);
                transactions.iter_mut().for_each(|transaction| transaction.events.reverse());
            }
            Bundle { site, run, number, from, epochs, transactions, part }
        },
    )
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let pattern = (any::<bool>(), vec(prop_oneof![4 => proptest::char::range('a', 'c'), 1 => Just('*')], 1..6));
    let pattern =
        pattern.prop_map(|(excludes, text)| format!("{}{}", if excludes { "!" } else { "" }, String::from_iter(text)));
    vec(pattern, 0..4).prop_map(|patterns| Filter::parse(&patterns).unwrap())
}

pub fn any_hello() -> impl Strategy<Value = Hello> {
    let flow = (any_filter(), any_filter()).prop_map(|(push, pull)| Flow { push, pull });
    let accept = prop_oneof![Just(Accept::Own), Just(Accept::Any)];
    let who = (any_site(), any_run(), any_text(), any_text());
    let rest = (any_clock(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    let way = (proptest::option::of(any_site()), flow, accept.clone());
    let way = way.prop_map(|(from, flow, accept)| Way { from, flow, accept });
    let word = (1..=SEQ_MAX, vec(way, 0..3)).prop_map(|(version, mut ways)| {
        ways.sort();
        Word { version, ways }
    });
    let ways = vec((any_site(), word), 0..3).prop_map(Ways::from_iter);
    (who, any_filter(), any_filter(), ways, accept, rest).prop_map(
        |((site, run, name, software), push, pull, ways, accept, (clock, bundle_bytes_max, now_ms, a, b))| Hello {
            protocol: (a.min(b), a.max(b)),
            software,
            site,
            run,
            name,
            push,
            pull,
            accept,
            ways,
            clock,
            bundle_bytes_max,
            now_ms,
        },
    )
}

pub fn any_receipt() -> impl Strategy<Value = Receipt> {
    let outcome =
        prop_oneof![Just(Outcome::Taken), any_clock().prop_map(Outcome::Again), any_clock().prop_map(Outcome::Early),];
    let refused = (any_dot(), any_text()).prop_map(|(dot, reason)| Refused { dot, reason });
    (any::<u64>(), outcome, vec(refused, 0..4), any_clock()).prop_map(|(number, outcome, refusals, holds)| Receipt {
        number,
        outcome,
        refusals,
        holds,
    })
}
