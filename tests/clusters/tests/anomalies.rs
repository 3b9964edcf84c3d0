//! Histories from the literature, transcribed: those that the checker must refuse, and those that it must accept.
//!
//! Values that the sources leave out are made up, so that each is written once; `x?-` reads a key that nobody has written.

use gundb_clusters::history::{Anomaly, Arbitration, History, Kind, check};

const BOTH: [Arbitration; 2] = [Arbitration::Transactions, Arbitration::Writes];

fn found(history: &str, arbitration: Arbitration) -> Option<Anomaly> {
    let anomaly = check(&History::parse(history), arbitration).err();
    anomaly.inspect(|anomaly| println!("{arbitration:?}: {anomaly}\n"))
}

/// Whatever the order of writes is about, the history is refused for this.
#[track_caller]
fn refused(kind: Kind, history: &str) {
    for arbitration in BOTH {
        assert_eq!(found(history, arbitration).map(|anomaly| anomaly.kind), Some(kind), "{history}");
    }
}

#[track_caller]
fn accepted(history: &str) {
    for arbitration in BOTH {
        assert_eq!(found(history, arbitration), None, "{history}");
    }
}

// Bouajjani, Enea, Guerraoui, Hamza: On verifying causal consistency. POPL 2017. Each operation is a transaction.

#[test]
fn thin_air_read_is_refused() {
    refused(Kind::ThinAirRead, "a: x:=1\nb: x?2");
}

#[test]
fn cyclic_co_is_refused() {
    refused(Kind::CyclicCausality, "a: x?1 | y:=2\nb: y?2 | x:=1");
}

#[test]
fn write_co_init_read_is_refused() {
    refused(Kind::MonotonicWrites, "a: x:=1 | y:=2\nb: y?2 | x?-");
}

#[test]
fn write_co_read_is_refused() {
    // Figure 3 (e): not even weakly causally consistent.
    refused(Kind::MonotonicReads, "a: x:=1 | y:=1\nb: y?1 | x:=2\nc: x?2 | x?1");
}

#[test]
fn cyclic_cf_is_refused() {
    // Figure 3 (a): causal memory allows it, and the sites never agree.
    refused(Kind::Divergence, "a: x:=1 | x?2\nb: x:=2 | x?1");
}

#[test]
fn cyclic_hb_of_two_sessions_that_change_their_minds_is_refused() {
    // Figure 3 (c): neither causal memory nor causally convergent.
    refused(Kind::Divergence, "a: x:=1\nb: x:=2 | x?1 | x?2");
}

#[test]
fn cyclic_hb_alone_is_accepted_since_it_is_of_causal_memory() {
    // Figure 3 (b): causally convergent, and not causal memory (WriteHBInitRead).
    accepted("a: z:=1 | x:=1 | y:=1\nb: x:=2 | z?- | y?1 | x?2");
}

#[test]
fn what_is_not_sequentially_consistent_is_accepted() {
    // Figure 3 (d).
    accepted("a: x:=1 | y?- | y:=1 | x?1\nb: x:=2 | y?- | y:=2 | x?2");
}

// Terry, Demers, Petersen, Spreitzer, Theimer, Welch: Session guarantees for weakly consistent replicated data. PDIS 1994.

#[test]
fn a_write_that_its_session_does_not_see_is_refused() {
    refused(Kind::ReadYourWrites, "a: password:=1 | password:=2 | password?1");
    refused(Kind::ReadYourWrites, "a: password:=1 | password?-");
    refused(Kind::ReadYourWrites, "a: password:=1 | password?[]");
}

#[test]
fn a_read_that_goes_back_is_refused() {
    refused(Kind::MonotonicReads, "a: calendar:=1 | calendar:=2\nb: calendar?2 | calendar?1");
    refused(Kind::MonotonicReads, "a: calendar:=1\nb: calendar?1 | calendar?-");
    refused(Kind::MonotonicReads, "a: calendar:=1 | calendar:=2\nb: calendar?[1 2] | calendar?[1]");
}

#[test]
fn a_later_write_without_an_earlier_one_is_refused() {
    refused(Kind::MonotonicWrites, "a: library:=1 | program:=1 | library:=2 | program:=2\nb: program?2 library?1");
}

#[test]
fn a_reply_without_what_it_replies_to_is_refused() {
    refused(Kind::WritesFollowReads, "a: board:=1\nb: board?[1] | replies:=2\nc: replies?[2] board?[]");
}

// Lloyd, Freedman, Kaminsky, Andersen: Don't settle for eventual. SOSP 2011 (COPS).

#[test]
fn an_album_without_the_photo_that_was_uploaded_before_is_refused() {
    refused(Kind::MonotonicWrites, "alice: photo:=1 | album:=1\nbob: album?1 | photo?-");
}

#[test]
fn a_relief_about_a_ring_that_is_still_lost_is_refused() {
    // Alice has lost her ring (1), and found it (2); Bob is glad to hear it (3). Carol is not to think that he is glad of
    // the loss.
    let told = "alice: alice:=1 | alice:=2\nbob: alice?2 | bob:=3\n";
    refused(Kind::WritesFollowReads, &format!("{told}carol: bob?3 | alice?1"));
    accepted(&format!("{told}carol: alice?1 | alice?2 | bob?3"));
    accepted(&format!("{told}carol: bob?- alice?1 | bob?3 alice?2"));
}

#[test]
fn a_cause_further_away_that_is_missing_is_refused() {
    let told = "a: w:=1\nb: w?1 | x:=2\nc: x?2 | y:=3\n";
    refused(Kind::CausalityViolation, &format!("{told}d: y?3 | w?-"));
    accepted(&format!("{told}d: w?- y?- | y?3 w?1"));
}

// Bailis, Fekete, Hellerstein, Ghodsi, Stoica: Scalable atomic visibility with RAMP transactions. SIGMOD 2014.

#[test]
fn a_transaction_that_is_read_in_part_is_refused() {
    refused(Kind::FracturedRead, "a: x:=1 y:=1\nb: x?1 y?-");
    refused(Kind::FracturedRead, "a: x:=1 y:=1 | x:=2 y:=2\nb: x?2 y?1");
    refused(Kind::FracturedRead, "a: x:=1 y:=2\nb: x?[1] y?[]");
    refused(Kind::FracturedRead, "a: x:=1 x:=2\nb: x?[1]");
}

#[test]
fn of_two_transactions_that_win_a_key_each_only_the_order_of_transactions_says_that_it_is_wrong() {
    let history = "a: x:=1 y:=1\nb: x:=2 y:=2\nc: x?1 y?2";
    let kind = found(history, Arbitration::Transactions).map(|anomaly| anomaly.kind);
    assert_eq!(kind, Some(Kind::Divergence));
    assert_eq!(found(history, Arbitration::Writes), None);
}

// Berenson, Bernstein, Gray, Melton, O'Neil, O'Neil: A critique of ANSI SQL isolation levels. SIGMOD 1995.

#[test]
fn a_read_that_is_not_repeatable_is_refused() {
    refused(Kind::NonRepeatableRead, "a: x:=1\nb: x:=2\nc: x?1 x?2");
}

#[test]
fn a_phantom_is_refused() {
    refused(Kind::NonRepeatableRead, "a: x:=1\nb: x?[] x?[1]");
}

#[test]
fn a_skewed_read_is_refused() {
    refused(Kind::FracturedRead, "a: x:=50 y:=50 | x:=25 y:=75\nb: x?50 y?75");
}

#[test]
fn a_lost_update_is_accepted() {
    accepted("a: x:=100 | x?100 x:=130\nb: x?100 x:=120\nc: x?130 | x?130");
}

#[test]
fn a_skewed_write_is_accepted() {
    accepted("a: x:=1 y:=1\nb: x?1 y?1 x:=2\nc: x?1 y?1 y:=2\nd: x?2 y?2");
}

// Adya, Liskov, O'Neil: Generalized isolation level definitions. ICDE 2000.

#[test]
fn a_read_of_what_was_rolled_back_is_refused() {
    refused(Kind::RolledBackRead, "a: x:=1 !\nb: x?1");
}

#[test]
fn a_read_of_what_its_own_transaction_overwrote_is_refused() {
    refused(Kind::IntermediateRead, "a: x:=1 x:=2\nb: x?1");
}

#[test]
fn information_that_flows_in_a_circle_is_refused() {
    refused(Kind::CyclicCausality, "a: x:=1 y?2\nb: y:=2 x?1");
    refused(Kind::CyclicCausality, "a: x?1 x:=1");
}

// Sovran, Power, Aguilera, Li: Transactional storage for geo-replicated systems. SOSP 2011 (Walter).

#[test]
fn a_long_fork_is_accepted() {
    accepted("a: x:=1\nb: y:=1\nc: x?1 y?-\nd: x?- y?1");
}

// Biswas, Enea: On the complexity of checking transactional consistency. OOPSLA 2019.

#[test]
fn a_transaction_must_see_its_own_last_write() {
    refused(Kind::OwnWriteLost, "a: x:=1\nb: x:=2 x?1");
    refused(Kind::OwnWriteLost, "a: x:=1\nb: x:=2 x?[1]");
    accepted("a: x:=1\nb: x:=2 x?2 x:=3 x?3 | x?[1 2 3]");
}

#[test]
fn transactions_that_see_each_others_writes_in_no_one_order_are_refused() {
    refused(Kind::Divergence, "a: x:=1\nb: x:=2\nc: x?[1 2]\nd: x?[2 1]");
    refused(Kind::Divergence, "a: x:=1\nb: x:=2\nc: x?[1 2] | x?1");
}

// What the network makes of histories.

#[test]
fn a_write_that_is_shown_twice_is_refused() {
    refused(Kind::DoubleRead, "a: x:=1\nb: x?[1 1]");
}

#[test]
fn what_was_not_answered_counts_once_it_is_seen() {
    accepted("a: x:=1 ~ | x?- | x?1\nb: x?-");
    accepted("a: x:=1 ~ | x?-");
    // From then on it binds, with what its session knew.
    refused(Kind::MonotonicReads, "a: x:=1 ~ | x?1 | x?-");
    refused(Kind::MonotonicWrites, "a: w:=1 | x:=1 ~\nb: x?1 | w?-");
    refused(Kind::FracturedRead, "a: x:=1 y:=1 ~ | x?1 y?-");
    // It may have seen another one of its kind.
    accepted("a: x:=1 ~\nb: x?1 y:=2 ~\nc: y?2 x?1");
}
