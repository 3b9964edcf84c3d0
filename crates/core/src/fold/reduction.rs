//! Reducers: a whole-row fold that somebody else wrote, called with one event after the other, in total order.
//!
//! What must always hold here: the latest state is the fold of all events that were not refused, in total order, whatever the order in which they came. An
//! event that comes late is not folded onto what sorts after it: the key goes back to a state before it, and what sorts after that is folded again.
//!
//! So that a long history is not replayed from its beginning, states along the way are kept: of those at every [`STEP`]th event few and fewer the farther
//! back, so that their number grows with the logarithm of the events, and going back d events replays no more than a few times d. Which ones are kept
//! depends on how the events came; so of two keys with the same events the latest states are equal, and the others need not be.

use super::mark::Mark;
use crate::bytes::{Ascending, DecodeError, DecodeProblem, Reader, put_text, put_varint};

const VERSION: u8 = 1;
/// A state stays behind at every so many events.
pub const STEP: u64 = 32;
/// Of the states at so many times as many steps, that many times fewer stay.
const BASE: u64 = 4;
/// States that stayed behind take no more bytes than this, or than twice the latest.
const CHECKPOINTS_BYTES_MAX: usize = 4096;
/// Most bytes of a state. (All that is kept of a key stays below what a value may have.)
pub const REDUCED_BYTES_MAX: usize = 16 << 20;

/// Applies one event.
pub trait Reduce {
    /// What is applied.
    type Event;
    /// Why an event was left out.
    type Refusal;
    /// Why nothing goes on.
    type Failure;

    /// The state with one event more; of at most [`REDUCED_BYTES_MAX`]. A function of the two.
    fn reduce(&mut self, state: &str, event: &Self::Event) -> Result<Result<String, Self::Refusal>, Self::Failure>;
}

/// An event with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<E> {
    /// Where it stands.
    pub mark: Mark,
    /// What is applied.
    pub event: E,
}

/// A state, and the last event that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The place of the last event.
    pub upto: Mark,
    /// How many events are in it.
    pub events: u64,
    /// The state.
    pub state: String,
}

/// What is kept of a key's events: the latest state, and some before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reduction {
    /// Ascending; the last is the latest. All others stand at whole steps.
    checkpoints: Vec<Checkpoint>,
}

/// An event that was left out, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<R> {
    /// Its place.
    pub mark: Mark,
    /// The reason.
    pub refusal: R,
}

/// How many times the base divides a number of steps.
fn rank(events: u64) -> u32 {
    let (mut steps, mut rank) = (events / STEP, 0);
    while steps > 0 && steps.is_multiple_of(BASE) {
        (steps, rank) = (steps / BASE, rank + 1);
    }
    rank
}

impl Reduction {
    /// The latest state; None where no event is in.
    pub fn latest(&self) -> Option<&Checkpoint> {
        self.checkpoints.last()
    }

    /// All that is kept, ascending; the last is the latest.
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// Takes a batch in. Where something of it sorts before what is in already, `held` is asked once for all events of the key that are held and sort after
    /// a place (None: for all of the key), the batch among them. Each id stands once, in the batch and in what is held. Returns what was refused.
    pub fn merge<R: Reduce>(
        &mut self,
        initial: &str,
        mut batch: Vec<Placed<R::Event>>,
        reducer: &mut R,
        held: impl FnOnce(Option<Mark>) -> Result<Vec<Placed<R::Event>>, R::Failure>,
    ) -> Result<Vec<Refused<R::Refusal>>, R::Failure> {
        let Some(earliest) = batch.iter().map(|event| event.mark).min() else {
            return Ok(Vec::new());
        };
        if self.latest().is_some_and(|latest| latest.upto >= earliest) {
            let before = self.checkpoints.partition_point(|checkpoint| checkpoint.upto < earliest);
            self.checkpoints.truncate(before);
            batch = held(self.latest().map(|latest| latest.upto))?;
        }
        batch.sort_by_key(|event| event.mark);
        let mut refused = Vec::new();
        for Placed { mark, event } in batch {
            match reducer.reduce(self.latest().map_or(initial, |latest| &latest.state), &event)? {
                Ok(state) => self.advance(mark, state),
                Err(refusal) => refused.push(Refused { mark, refusal }),
            }
        }
        Ok(refused)
    }

    /// Puts a state in as the latest; the one before stays behind if it stands at a whole step.
    fn advance(&mut self, upto: Mark, state: String) {
        let before = self.latest().map_or(0, |latest| latest.events);
        let stays = before.is_multiple_of(STEP);
        if !stays {
            self.checkpoints.pop();
        }
        self.checkpoints.push(Checkpoint { upto, events: before + 1, state });
        if stays {
            self.thin();
        }
    }

    /// Lets go of the states behind that are more than are needed.
    fn thin(&mut self) {
        let Some(latest) = self.checkpoints.pop() else {
            return;
        };
        // Twice the distance at which the next coarser ones stand: so there is always one of them before any place nearer than that.
        self.checkpoints.retain(|checkpoint| {
            latest.events - checkpoint.events <= BASE.saturating_pow(rank(checkpoint.events)).saturating_mul(2 * STEP)
        });
        let bytes_max = CHECKPOINTS_BYTES_MAX.max(2 * latest.state.len());
        let mut coarser = 0;
        while self.checkpoints.iter().map(|checkpoint| checkpoint.state.len()).sum::<usize>() > bytes_max {
            coarser += 1;
            self.checkpoints.retain(|checkpoint| rank(checkpoint.events) >= coarser);
        }
        self.checkpoints.push(latest);
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put_varint(&mut bytes, self.checkpoints.len() as u64);
        for checkpoint in &self.checkpoints {
            checkpoint.upto.encode(&mut bytes);
            put_varint(&mut bytes, checkpoint.events);
            put_text(&mut bytes, &checkpoint.state);
        }
        bytes
    }

    /// Reads [`Reduction::encode`] back, and no other spelling of it. At most 64 MB; allocates in proportion to the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Reduction, DecodeError> {
        let mut reader = Reader::new(bytes)?;
        reader.version(VERSION)?;
        let mut checkpoints: Vec<Checkpoint> = Vec::new();
        let (mut marks, mut counts) = (Ascending::new(), Ascending::new());
        for _ in 0..reader.count(Mark::BYTES_MIN + 2)? {
            let offset = reader.offset();
            let behind = checkpoints.last().is_none_or(|before| before.events.is_multiple_of(STEP));
            if !behind {
                return Err(Reader::error_at(offset, DecodeProblem::Order));
            }
            let upto = marks.take(Mark::decode(&mut reader)?, offset)?;
            let counted = reader.offset();
            let events = counts.take(reader.events()?, offset)?;
            if events == 0 {
                return Err(Reader::error_at(counted, DecodeProblem::Impossible));
            }
            checkpoints.push(Checkpoint { upto, events, state: reader.text()?.to_owned() });
        }
        reader.end()?;
        Ok(Reduction { checkpoints })
    }
}
