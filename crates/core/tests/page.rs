//! Pages against their specification: gather, group, sort, cut. Use when `page.rs` changes.

mod strategies;

use std::collections::BTreeMap;

use gundb_core::*;
use proptest::prelude::*;
use strategies::*;

/// A history as it happens: writers of two runs of one site and one run of another, each transaction holding one lane of each stream it writes to.
#[derive(Debug, Clone)]
struct History {
    lanes: Vec<(LaneKey, Vec<Row>)>,
    spans: BTreeMap<TransactionId, Hlc>,
}

const RUNS: [(u8, u64); 3] = [(1, 1), (1, 2), (2, 1)];
const STREAMS: usize = 3;

/// What a run's next operation is: the run, which of its open transactions, and append to a stream or commit.
type Operation = (usize, usize, Option<usize>, bool);

fn history(operations: Vec<Operation>) -> History {
    let mut lanes: BTreeMap<LaneKey, Vec<Row>> = BTreeMap::new();
    let mut spans = BTreeMap::new();
    // Run → open transactions → the first stamp, and the lane number held of each stream.
    let mut open: BTreeMap<(usize, usize), (Hlc, BTreeMap<usize, u16>)> = BTreeMap::new();
    let mut written: BTreeMap<TransactionId, Vec<(LaneKey, Hlc)>> = BTreeMap::new();
    for (tick, (run, slot, action, counts)) in operations.into_iter().enumerate() {
        // Both copies of a site may draw the same stamps.
        let hlc = Hlc::new(1000 + tick as u64 / 2, 0).unwrap();
        let hlc = Hlc::from_bits(hlc.to_bits() + tick as u64).unwrap();
        let (site_number, run_number) = RUNS[run];
        let Some(target) = action else {
            open.remove(&(run, slot));
            continue;
        };
        let held: Vec<u16> = open
            .iter()
            .filter(|((other_run, other), _)| *other_run == run && *other != slot)
            .filter_map(|(_, (_, lanes))| lanes.get(&target).copied())
            .collect();
        let (xact, mine) = open.entry((run, slot)).or_insert((hlc, BTreeMap::new()));
        let number = *mine.entry(target).or_insert_with(|| (0..).find(|number| !held.contains(number)).unwrap());
        let key = LaneKey { site: site(site_number), stream: stream(target as u8), lane: lane(run_number, number) };
        let rows = lanes.entry(key).or_default();
        rows.push(Row { seq: rows.len() as u64 + 1, hlc, xact: *xact, wide: false, counts });
        let id = TransactionId { site: key.site, run: key.lane.run(), xact: *xact };
        written.entry(id).or_default().push((key, hlc));
    }
    for (id, rows) in &written {
        let streams = rows.iter().map(|(key, _)| key.stream).collect::<std::collections::BTreeSet<_>>();
        if streams.len() > 1 {
            spans.insert(*id, rows.iter().map(|(_, hlc)| *hlc).max().unwrap());
        }
    }
    for (key, rows) in &mut lanes {
        for row in rows {
            row.wide = spans.contains_key(&TransactionId { site: key.site, run: key.lane.run(), xact: row.xact });
        }
    }
    History { lanes: lanes.into_iter().collect(), spans }
}

fn any_history() -> impl Strategy<Value = History> {
    let action = prop_oneof![3 => (0..STREAMS).prop_map(Some), 1 => Just(None)];
    proptest::collection::vec((0..RUNS.len(), 0..3usize, action, prop::bool::weighted(0.9)), 0..60).prop_map(history)
}

/// What comes out, flat: the transaction, its place, and its rows one by one.
type Output = Vec<(TransactionId, Hlc, Vec<(LaneKey, u64)>)>;

/// The specification.
fn slow_pages(history: &History, rows_max: usize) -> Vec<Output> {
    let mut transactions: BTreeMap<TransactionId, Vec<(Hlc, LaneKey, Row)>> = BTreeMap::new();
    for (key, rows) in &history.lanes {
        for row in rows {
            let id = TransactionId { site: key.site, run: key.lane.run(), xact: row.xact };
            transactions.entry(id).or_default().push((row.hlc, *key, *row));
        }
    }
    let mut placed: Vec<_> = transactions
        .into_iter()
        .map(|(id, mut rows)| {
            rows.sort_by_key(|(hlc, key, row)| (*hlc, *key, row.seq));
            let greatest = history.spans.get(&id).copied().unwrap_or(rows.last().unwrap().0);
            (id, greatest, rows)
        })
        .collect();
    placed.sort_by_key(|(id, greatest, _)| (*greatest, id.site, id.run));
    let mut pages: Vec<Output> = Vec::new();
    let mut taken = usize::MAX;
    for (id, greatest, rows) in placed {
        let counted = rows.iter().filter(|(_, _, row)| row.counts).count();
        if pages.is_empty() || (taken > 0 && (taken >= rows_max || taken + counted > rows_max)) {
            pages.push(Vec::new());
            taken = 0;
        }
        taken += counted;
        let rows = rows.into_iter().map(|(_, key, row)| (key, row.seq)).collect();
        pages.last_mut().unwrap().push((id, greatest, rows));
    }
    pages
}

/// Reads one page from where each lane stands, supplying rows in batches of changing size.
fn read_page(
    history: &History,
    at: &mut [usize],
    rows_max: usize,
    batches: &mut impl FnMut() -> usize,
) -> (Output, Step) {
    let mut merge = Merge::new(history.lanes.iter().map(|(key, _)| *key), rows_max);
    let mut fetched: Vec<usize> = at.to_vec();
    let mut output = Vec::new();
    loop {
        match merge.step() {
            Step::NeedRows(lane) => {
                let rows = &history.lanes[lane.0].1;
                let from = fetched[lane.0];
                let to = rows.len().min(from + batches());
                // Sometimes the end is only known from an empty read.
                let at_end = to == rows.len() && (to == from || batches().is_multiple_of(2));
                fetched[lane.0] = to;
                merge.supply(lane, rows[from..to].iter().copied(), at_end).unwrap();
            }
            Step::NeedSpan(id) => merge.span(id, history.spans.get(&id).copied()),
            Step::Transaction(placed) => {
                let mut rows = Vec::new();
                for segment in &placed.segments {
                    let (key, lane) = &history.lanes[segment.lane.0];
                    assert_eq!(segment.rows as u64, segment.to_seq - segment.from_seq + 1);
                    assert_eq!(lane[at[segment.lane.0]].seq, segment.from_seq);
                    at[segment.lane.0] += segment.rows;
                    rows.extend((segment.from_seq..=segment.to_seq).map(|seq| (*key, seq)));
                }
                output.push((placed.transaction, placed.greatest_stamp, rows));
            }
            step @ (Step::Full | Step::End) => return (output, step),
        }
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn pages_are_what_gathering_grouping_sorting_and_cutting_gives(
        history in any_history(),
        rows_max in 1..12usize,
        batches in proptest::collection::vec(1..6usize, 1..8),
    ) {
        let mut batches = batches.into_iter().cycle();
        let mut batch = || batches.next().unwrap();
        let mut at = vec![0; history.lanes.len()];
        let mut pages = Vec::new();
        loop {
            let (page, step) = read_page(&history, &mut at, rows_max, &mut batch);
            if !page.is_empty() {
                pages.push(page);
            }
            if step == Step::End {
                break;
            }
        }
        prop_assert_eq!(pages, slow_pages(&history, rows_max));
    }

    #[test]
    fn a_reader_of_some_streams_gets_the_others_left_out_in_the_same_order(history in any_history(), taken in 0..STREAMS as u8) {
        let only = History {
            lanes: history.lanes.iter().filter(|(key, _)| key.stream == stream(taken)).cloned().collect(),
            spans: history.spans.clone(),
        };
        let mut batch = || 2;
        let (output, step) = read_page(&only, &mut vec![0; only.lanes.len()], usize::MAX, &mut batch);
        prop_assert_eq!(step, Step::End);
        let all = slow_pages(&history, usize::MAX).concat();
        let expected: Output = all
            .into_iter()
            .map(|(id, greatest, rows)| (id, greatest, rows.into_iter().filter(|(key, _)| key.stream == stream(taken)).collect::<Vec<_>>()))
            .filter(|(_, _, rows)| !rows.is_empty())
            .collect();
        prop_assert_eq!(output, expected);
    }

    #[test]
    fn damaged_rows_never_make_the_merge_panic_stall_or_lose_a_row(
        lanes in proptest::collection::vec(proptest::collection::vec((1..4u64, any_hlc(), any_hlc(), any::<bool>()), 0..8), 0..4),
    ) {
        let lanes: Vec<_> = lanes.into_iter().enumerate().map(|(index, rows)| {
            let mut seq = 0;
            let rows: Vec<Row> = rows.into_iter().map(|(gap, hlc, xact, wide)| {
                seq += gap;
                Row { seq, hlc, xact, wide, counts: true }
            }).collect();
            (LaneKey { site: site(1), stream: stream(index as u8), lane: lane(1, 0) }, rows)
        }).collect();
        let mut merge = Merge::new(lanes.iter().map(|(key, _)| *key), usize::MAX);
        let mut rows_out = 0;
        for _ in 0..1000 {
            match merge.step() {
                Step::NeedRows(index) => merge.supply(index, lanes[index.0].1.iter().copied(), true).unwrap(),
                Step::NeedSpan(id) => merge.span(id, Some(id.xact)),
                Step::Transaction(placed) => rows_out += placed.segments.iter().map(|segment| segment.rows).sum::<usize>(),
                Step::Full | Step::End => break,
            }
        }
        prop_assert_eq!(rows_out, lanes.iter().map(|(_, rows)| rows.len()).sum::<usize>());
        prop_assert_eq!(merge.step(), Step::End);
    }
}

fn row(seq: u64, millis: u64, xact: u64) -> Row {
    Row { seq, hlc: Hlc::new(millis, 0).unwrap(), xact: Hlc::new(xact, 0).unwrap(), wide: false, counts: true }
}

fn key(number: u16) -> LaneKey {
    LaneKey { site: site(1), stream: stream(1), lane: lane(1, number) }
}

#[test]
fn a_lane_is_read_no_further_than_the_page_goes() {
    let mut merge = Merge::new([key(0), key(1)], 1);
    assert_eq!(merge.step(), Step::NeedRows(LaneIndex(0)));
    // The second lane's first transaction may be larger than these rows; it comes later in any case, so nobody asks.
    merge.supply(LaneIndex(0), [row(1, 10, 10), row(2, 20, 20)], false).unwrap();
    assert_eq!(merge.step(), Step::NeedRows(LaneIndex(1)));
    merge.supply(LaneIndex(1), [row(1, 15, 15)], false).unwrap();
    assert!(matches!(merge.step(), Step::Transaction(placed) if placed.greatest_stamp == Hlc::new(10, 0).unwrap()));
    assert_eq!(merge.step(), Step::Full);
}

/// A lane whose stamps do not ascend, as no site writes it: the rows of one transaction must still not come in two parts.
#[test]
fn a_lane_that_may_have_more_of_a_transaction_is_asked_before_it_is_given() {
    let other_stream = LaneKey { stream: stream(2), ..key(0) };
    let wide = |seq, millis| Row { wide: true, ..row(seq, millis, 10) };
    let transaction = TransactionId { site: site(1), run: key(0).lane.run(), xact: Hlc::new(10, 0).unwrap() };
    let mut merge = Merge::new([key(0), other_stream], 10);
    merge.supply(LaneIndex(0), [wide(1, 10)], true).unwrap();
    merge.supply(LaneIndex(1), [wide(1, 20)], false).unwrap();
    assert_eq!(merge.step(), Step::NeedSpan(transaction));
    merge.span(transaction, Hlc::new(20, 0));
    assert_eq!(merge.step(), Step::NeedRows(LaneIndex(1)));
    merge.supply(LaneIndex(1), [wide(2, 15)], true).unwrap();
    assert!(matches!(merge.step(), Step::Transaction(placed) if placed.counted_rows == 3));
    assert_eq!(merge.step(), Step::End);
}

#[test]
fn rows_that_make_no_sense_are_refused_with_the_reason() {
    let lane = LaneIndex(0);
    let mut merge = Merge::new([key(0)], 10);
    assert_eq!(merge.supply(LaneIndex(1), [], true), Err(SupplyError::UnknownLane { lane: LaneIndex(1) }));
    assert_eq!(merge.supply(lane, [], false), Err(SupplyError::Nothing { lane }));
    assert_eq!(merge.supply(lane, [row(2, 1, 1), row(2, 2, 2)], false), Err(SupplyError::Order { lane, seq: 2 }));
    merge.supply(lane, [], true).unwrap();
    assert_eq!(merge.supply(lane, [row(9, 9, 9)], true), Err(SupplyError::AfterEnd { lane }));
}

#[test]
fn a_page_of_no_lanes_is_at_its_end() {
    assert_eq!(Merge::new([], 10).step(), Step::End);
}
