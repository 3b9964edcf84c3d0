//! Sorting by contexts against the definition. Use when `order.rs` changes.

mod strategies;

use gundb_core::*;
use proptest::prelude::*;
use strategies::*;

/// The definition, spelt out: again and again the smallest dot whose context covers no other dot that is left. Quadratic and more.
fn slow_sort(events: &[(Dot, Clock)]) -> Option<Vec<usize>> {
    let mut left: Vec<usize> = (0..events.len()).collect();
    left.sort_by_key(|index| (events[*index].0, *index));
    let mut order = Vec::new();
    while !left.is_empty() {
        let covers_another = |dot: Dot| {
            let contexts = left.iter().filter(|index| events[**index].0 == dot).map(|index| &events[*index].1);
            contexts
                .flat_map(|context| left.iter().map(move |other| (context, events[*other].0)))
                .any(|(context, other)| other != dot && context.covers(&other))
        };
        let next = left.iter().position(|index| !covers_another(events[*index].0))?;
        order.push(left.remove(next));
    }
    Some(order)
}

fn small_dot() -> impl Strategy<Value = Dot> {
    (0..2u8, 0..2u16, 1..5u64).prop_map(|(s, number, seq)| Dot {
        site: site(s),
        stream: stream(0),
        lane: lane(1, number),
        seq,
    })
}

fn events(context_entries: usize) -> impl Strategy<Value = Vec<(Dot, Clock)>> {
    let context = proptest::collection::vec(small_dot(), 0..=context_entries).prop_map(Clock::from_iter);
    proptest::collection::vec((small_dot(), context), 0..10)
}

fn check(events: &[(Dot, Clock)]) -> Result<(), TestCaseError> {
    match (causal_sort(events), slow_sort(events)) {
        (Ok(order), Some(expected)) => prop_assert_eq!(order, expected),
        (Err(cycle), None) => {
            prop_assert!(cycle.dots.len() >= 2);
            let next = cycle.dots.iter().cycle().skip(1);
            for (dot, next) in cycle.dots.iter().zip(next) {
                let in_context = events.iter().any(|(found, context)| found == next && context.covers(dot));
                prop_assert!(in_context && dot != next, "{} is not in the context of {}", dot, next);
            }
        }
        (found, expected) => prop_assert!(false, "{:?}, expected {:?}", found, expected),
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(5000))]

    #[test]
    fn the_order_is_the_least_linear_extension_or_the_cycle_is_one(events in events(1)) {
        check(&events)?;
    }

    #[test]
    fn crowded_contexts_are_sorted_by_the_definition_too(events in events(4)) {
        check(&events)?;
    }
}

fn dot(s: u8, seq: u64) -> Dot {
    Dot { site: site(s), stream: stream(0), lane: lane(1, 0), seq }
}

fn covering(dots: &[Dot]) -> Clock {
    dots.iter().copied().collect()
}

#[test]
fn an_events_own_dot_in_its_own_context_means_nothing() {
    let events = [(dot(1, 2), covering(&[dot(1, 2)])), (dot(1, 1), covering(&[dot(1, 1)]))];
    assert_eq!(causal_sort(&events), Ok(vec![1, 0]));
}

#[test]
fn contexts_that_cover_each_other_are_an_error_that_names_them() {
    let events =
        [(dot(1, 1), covering(&[dot(2, 1)])), (dot(2, 1), covering(&[dot(3, 1)])), (dot(3, 1), covering(&[dot(1, 1)]))];
    let cycle = causal_sort(&events).unwrap_err();
    assert_eq!(cycle.dots, [dot(1, 1), dot(3, 1), dot(2, 1)]);
    assert!(cycle.to_string().starts_with("the contexts of these events cover each other: "));
}

#[test]
fn a_hundred_thousand_events_that_all_see_each_other_forwards_fail_at_once() {
    let everything = covering(&[dot(1, 1 << 40)]);
    let events: Vec<_> = (1..=100_000).map(|seq| (dot(1, seq), everything.clone())).collect();
    assert_eq!(causal_sort(&events).unwrap_err().dots, [dot(1, 1), dot(1, 2)]);
}

#[test]
fn two_hundred_thousand_events_are_sorted_in_far_less_than_quadratic_time() {
    let started = std::time::Instant::now();
    let events: Vec<_> = (1..=100_000)
        .flat_map(|seq: u64| {
            let behind = seq.saturating_sub(3);
            [(dot(1, seq), covering(&[dot(2, behind)])), (dot(2, seq), covering(&[dot(1, seq), dot(2, seq)]))]
        })
        .collect();
    let order = causal_sort(&events).unwrap();
    assert_eq!(order.len(), events.len());
    println!("sorted in {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 60);
}
