//! Comparisons with the peer of a session, one after the other, and each a few questions.
//!
//! Must hold: whoever asked is told, by a row of `gundb.comparison`, what came of it, or why nothing did. What is read here of
//! this site's own is a transaction of its own.

use crate::catalog::{self, Compared, Peer};
use crate::error::Result;
use crate::replication::{self, Terms, compare};
use crate::worker::transaction::transaction;
use gundb_core::bundle::{decode_answer, encode_question};
use gundb_core::compare::{Answer, Comparison, Question};
use std::collections::VecDeque;

#[derive(Default)]
pub struct Comparisons {
    /// Under which tokens they are asked for; the first is being made.
    tokens: VecDeque<i64>,
    stage: Stage,
}

#[derive(Default)]
enum Stage {
    /// The first is to begin.
    #[default]
    New,
    /// What the peer has was asked.
    Begun,
    /// There is more to ask.
    Ready(Box<Comparison>),
    /// It was asked.
    Asked(Box<Comparison>, Question),
}

/// Tells who asked why there is no comparison.
pub fn fail(token: i64, why: &str) -> Result<()> {
    store(token, &Err(why.to_owned()))
}

fn store(token: i64, compared: &Compared) -> Result<()> {
    Ok(transaction(|| catalog::store_comparison(token, compared))?)
}

impl Comparisons {
    /// One more.
    pub fn ask(&mut self, token: i64) {
        self.tokens.push_back(token);
    }

    /// There is no session any more.
    pub fn fail(&mut self, why: &str) -> Result<()> {
        self.stage = Stage::New;
        core::mem::take(&mut self.tokens).into_iter().try_for_each(|token| fail(token, why))
    }

    /// What the peer is to be asked now.
    pub fn question(&mut self) -> Option<Vec<u8>> {
        let _first = self.tokens.front()?;
        match core::mem::take(&mut self.stage) {
            Stage::New => {
                self.stage = Stage::Begun;
                Some(encode_question(&Question::Inventory))
            }
            Stage::Ready(mut comparison) => {
                // A comparison is ready only while it has more to ask.
                let question = Question::Digests(comparison.wanted().unwrap_or_default());
                let bytes = encode_question(&question);
                self.stage = Stage::Asked(comparison, question);
                Some(bytes)
            }
            waits => {
                self.stage = waits;
                None
            }
        }
    }

    /// What the peer has answered. The error says why the session is to be ended.
    pub fn answered(&mut self, peer: &Peer, bytes: Option<&[u8]>) -> core::result::Result<(), String> {
        let answer = decode_answer(bytes.unwrap_or_default(), &replication::limits());
        let answer = answer.map_err(|why| format!("the peer's answer cannot be read: {why}"))?;
        let comparison = match (core::mem::take(&mut self.stage), answer) {
            (Stage::Begun, Answer::Inventory(theirs)) => {
                let mine = transaction(|| compare::inventory(&Terms::of_peer(peer)?)).map_err(|why| why.message)?;
                Box::new(Comparison::new(mine, theirs))
            }
            (Stage::Asked(mut comparison, Question::Digests(clocks)), Answer::Digests(theirs)) => {
                let mine =
                    transaction(|| compare::digests(&Terms::of_peer(peer)?, &clocks)).map_err(|why| why.message)?;
                comparison.answered(&mine, &theirs).map_err(|why| why.to_string())?;
                comparison
            }
            _ => return Err("the peer answered what it was not asked".to_owned()),
        };
        if comparison.is_over() {
            if let Some(token) = self.tokens.pop_front() {
                let report = comparison.report().to_json().to_string();
                store(token, &Ok(report)).map_err(|why| why.message())?;
            }
        } else {
            self.stage = Stage::Ready(comparison);
        }
        Ok(())
    }
}
