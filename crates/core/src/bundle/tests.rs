//! Messages whose checksum fits and whose fields say what cannot be.

use prost::Message;
use uuid::Uuid;

use super::frame::{Kind, seal};
use super::*;
use crate::chain::Chain;
use crate::context::Epoch;
use crate::event::Event;
use crate::hlc::Hlc;
use crate::id::{Dot, Lane, SEQ_MAX, StreamId};

fn event(number: u16, seq: u64, millis: u64) -> Event {
    let lane = Lane::new(Run::new(7).unwrap(), number);
    Event {
        dot: Dot::new(SiteId(Uuid::from_u128(1)), StreamId::of_name("s"), lane, seq).unwrap(),
        hlc: Hlc::new(millis, 0).unwrap(),
        xact: Hlc::new(1, 0).unwrap(),
        epoch: 3,
        id: Uuid::from_u128(u128::from(millis)),
        kind: "Received".into(),
        key: Some("k".into()),
        data: r#"{"qty": 3}"#.into(),
        meta: r#"{"by": "me"}"#.into(),
        salt: [1; 16],
        chain: Chain([2; 16]),
    }
}

/// Two transactions, of two events and one, in two lanes; an epoch and another that is based on it.
fn bundle() -> Bundle {
    let events = vec![event(0, 5, 1), event(1, 9, 2)];
    let later = Event { xact: Hlc::new(3, 0).unwrap(), ..event(0, 6, 3) };
    let transaction = |events: Vec<Event>| Transaction::new(events[0].transaction(), events);
    let epoch = |number, base| EpochPart {
        epoch: Epoch { site: events[0].dot.site, run: events[0].dot.lane.run(), number },
        base,
        clock: [later.dot].into_iter().collect(),
    };
    Bundle {
        site: events[0].dot.site,
        run: Run::new(8).unwrap(),
        number: 4,
        from: From::Session { digest: [9; 16], beside: Clock::new() },
        epochs: vec![epoch(2, None), epoch(3, Some(2))],
        transactions: vec![transaction(events.clone()), transaction(vec![later.clone()])],
        part: None,
    }
}

/// What becomes of the bundle when its message is changed like this.
fn changed(change: impl FnOnce(&mut proto::Bundle)) -> Result<Bundle, WireError> {
    decoded(change, &WireLimits::default())
}

fn decoded(change: impl FnOnce(&mut proto::Bundle), limits: &WireLimits) -> Result<Bundle, WireError> {
    let frame = encode_bundle(&bundle(), 0);
    let message = Frame::read(&frame).unwrap().open(Kind::Bundle, &WireLimits::default()).unwrap();
    let mut message = proto::Bundle::decode(message).unwrap();
    change(&mut message);
    decode_bundle(&seal(Kind::Bundle, &message.encode_to_vec(), 0), limits)
}

fn tables(change: impl FnOnce(&mut proto::Tables)) -> Result<Bundle, WireError> {
    changed(|bundle| change(bundle.tables.as_mut().unwrap()))
}

fn epochs(change: impl FnOnce(&mut proto::Epochs)) -> Result<Bundle, WireError> {
    changed(|bundle| change(bundle.epochs.as_mut().unwrap()))
}

fn transactions(change: impl FnOnce(&mut proto::Transactions)) -> Result<Bundle, WireError> {
    changed(|bundle| change(bundle.transactions.as_mut().unwrap()))
}

fn events(change: impl FnOnce(&mut proto::Events)) -> Result<Bundle, WireError> {
    changed(|bundle| change(bundle.events.as_mut().unwrap()))
}

#[test]
fn columns_of_zeros_are_left_out() {
    let frame = encode_bundle(&bundle(), 0);
    let message = Frame::read(&frame).unwrap().open(Kind::Bundle, &WireLimits::default()).unwrap();
    let events = proto::Bundle::decode(message).unwrap().events.unwrap();
    assert!(events.seq.is_empty() && events.epoch.is_empty() && events.kind.is_empty());
    assert_eq!(events.lane, [0, 1, 0]);
    assert_eq!(changed(|_| ()), Ok(bundle()));
}

#[test]
fn a_field_that_says_what_cannot_be_is_named() {
    let cases: [(Result<Bundle, WireError>, &str); 33] = [
        (changed(|b| b.site = vec![0; 15].into()), "site is of the wrong length"),
        (changed(|b| b.run = 0), "run is no run: 1 to 48 bits"),
        (changed(|b| b.run = 1 << 48), "run is no run: 1 to 48 bits"),
        (changed(|b| b.from = None), "from is missing"),
        (
            changed(|b| b.from = Some(proto::bundle::From::Clock(vec![2].into()))),
            "clock: a clock of version 2, and this code reads version 1",
        ),
        (
            changed(|b| b.part = Some(proto::Part::default())),
            "part is of one transaction, and the bundle has none or several",
        ),
        (changed(|b| b.tables = None), "epochs.run, entry 0, is no run"),
        (changed(|b| b.events = None), "transactions.events, entry 0, is none, or more than there are"),
        (changed(|b| b.transactions = None), "events has more events than its transactions"),
        (tables(|t| t.sites = vec![0; 17].into()), "tables.sites is not a multiple of 16 bytes long"),
        (tables(|t| t.run_site[0] = 9), "tables.run_site, entry 0, is no site"),
        (tables(|t| t.run_number[0] = 0), "tables.run_number, entry 0, is no run"),
        (tables(|t| t.run_number.push(1)), "tables.run_number has not as many entries as there are things"),
        (tables(|t| t.lane_stream[1] = 9), "tables.lane_stream, entry 1, is no stream"),
        (tables(|t| t.lane_run[1] = u32::MAX), "tables.lane_run, entry 1, is no run"),
        (tables(|t| t.lane_number[1] = 1 << 16), "tables.lane_number, entry 1, is more than 16 bits"),
        (tables(|t| t.kinds = b"Receiv\xff\xff".to_vec().into()), "tables.kinds is not UTF-8"),
        (tables(|t| t.kinds = b"Received!".to_vec().into()), "tables.kinds is longer than its texts"),
        (tables(|t| t.lane_seq[1] = SEQ_MAX), "events.seq, entry 1, is out of range"),
        (tables(|t| t.lane_epoch[0] = u64::MAX), "events.epoch, entry 0, is out of range"),
        (epochs(|e| e.base[1] = 4), "epochs.base, entry 1, is not earlier than the epoch"),
        (epochs(|e| e.clock_length[1] += 1), "epochs.clock_length, entry 1, is more than there is"),
        (epochs(|e| e.number.truncate(1)), "epochs.number has not as many entries as there are things"),
        (transactions(|t| t.events[1] = 0), "transactions.events, entry 1, is none, or more than there are"),
        (transactions(|t| t.xact[0] = 1 << 32), "transactions.xact, entry 0, is out of range"),
        (events(|e| e.lane[1] = 2), "events.lane, entry 1, is no lane"),
        (events(|e| e.hlc[1] = -1), "events, entry 1, does not follow the one before it in total order"),
        (events(|e| e.hlc[2] = -(1 << 40)), "events.hlc, entry 2, is after the year 9999"),
        (events(|e| e.chains = vec![0; 32].into()), "events.chains has not as many entries as there are things"),
        (events(|e| e.seq = vec![0; 2]), "events.seq has not as many entries as there are things"),
        (events(|e| e.key_length[2] = 3), "events.keys has no text of that length"),
        (events(|e| e.keys = b"k\0k".to_vec().into()), "events.keys has a NUL"),
        (events(|e| e.data_length[0] = 0), "events.data is longer than its texts"),
    ];
    for (decoded, why) in cases {
        assert_eq!(decoded.map_err(|error| error.to_string()), Err(format!("malformed: {why}")));
    }
}

#[test]
fn an_event_of_another_run_than_its_transaction_is_refused() {
    let decoded = tables(|tables| {
        tables.run_site.push(0);
        tables.run_number.push(99);
        tables.lane_run[1] = 1;
    });
    assert_eq!(decoded, Err(WireError::entry("events", 1, "is of another run than its transaction")));
}

#[test]
fn what_only_the_receiver_can_judge_is_let_through() {
    let gap = events(|events| events.seq = vec![0, 0, 5]).unwrap();
    assert_eq!(gap.transactions[1].events[0].dot.seq, 11);
    let early = transactions(|transactions| transactions.xact[1] = -5).unwrap();
    assert!(early.transactions[1].id.xact > early.transactions[1].events[0].hlc);
}

#[test]
fn each_limit_is_the_last_that_is_taken() {
    let exact = WireLimits {
        bytes_max: 1_000,
        transactions_max: 2,
        events_max: 3,
        event_bytes_max: 23,
        kind_bytes_max: 8,
        entries_max: 2,
        clock_entries_max: 2,
        ..WireLimits::default()
    };
    assert_eq!(decoded(|_| (), &exact), Ok(bundle()));
    let too_many = |what, limit| WireError::TooMany { what, limit };
    for (limits, error) in [
        (WireLimits { transactions_max: 1, ..exact }, too_many("transactions", 1)),
        (WireLimits { events_max: 2, ..exact }, too_many("events", 2)),
        (WireLimits { entries_max: 1, ..exact }, too_many("entries of tables", 1)),
        (WireLimits { clock_entries_max: 1, ..exact }, too_many("entries of clocks", 1)),
        (WireLimits { event_bytes_max: 22, ..exact }, WireError::TooLarge { what: "an event", found: 23, limit: 22 }),
        (WireLimits { kind_bytes_max: 7, ..exact }, WireError::TooLarge { what: "an event type", found: 8, limit: 7 }),
    ] {
        assert_eq!(decoded(|_| (), &limits), Err(error));
    }
}
