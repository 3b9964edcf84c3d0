//! What a peer said of itself by courier: its hellos, which come late, twice and in any order.
//!
//! What must always hold here: within a run a site never comes to hold less, so what it said is joined; a word of a run that was superseded says nothing any
//! more, since what that run held may be lost.

use gundb_core::Run;
use gundb_core::sync::message::Hello;

/// The words of one peer.
#[derive(Debug, Default)]
pub(super) struct Words {
    last: Option<Hello>,
    /// Runs of the peer, as they were heard of.
    runs: Vec<Run>,
}

impl Words {
    /// A word has come. Says whether it says something new.
    pub(super) fn hear(&mut self, word: Hello) -> bool {
        let is_known = self.runs.contains(&word.run);
        if !is_known {
            self.runs.push(word.run);
        }
        match &mut self.last {
            Some(last) if (last.site, last.run) == (word.site, word.run) => {
                let (clock, ways) = (last.clock.join(&word.clock), last.ways.join(&word.ways));
                let is_new = clock != last.clock;
                // What it takes and sends it may have changed; the younger word decides.
                if word.now_ms >= last.now_ms {
                    *last = word;
                }
                (last.clock, last.ways) = (clock, ways);
                is_new
            }
            Some(_) if is_known => false,
            last => {
                *last = Some(word);
                true
            }
        }
    }

    /// What is believed of the peer.
    pub(super) fn last(&self) -> Option<&Hello> {
        self.last.as_ref()
    }
}
