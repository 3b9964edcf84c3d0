//! A clock as JSON text: `{"site": {"stream": {"9f3c01ab77e2-3": 17}}}`, ids as uuids, separators as jsonb prints them.
//!
//! What must always hold here: printing is canonical (ids ascend); reading takes any order and white space, never recurses, and is linear.
//! Numbers are read as integers: `17.0` and `1e1` are not seqs.

use std::fmt;
use std::str::FromStr;

use super::{Clock, Place};
use crate::id::{Dot, Lane, LaneTextError, SEQ_MAX, SiteId, StreamId, UuidTextError};
use crate::json::{JsonError, JsonProblem, Scanner, Token};

/// Site, stream, lane.
const LEVELS: usize = 3;

/// Why a text is not a clock, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct ClockTextError {
    /// Where the offending token begins, in bytes from 0.
    pub offset: usize,
    /// What is wrong there.
    pub problem: ClockProblem,
}

/// What can be wrong with a clock's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockProblem {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] JsonProblem),
    /// Not objects in objects in objects of numbers.
    #[error("a clock looks like {{\"site uuid\": {{\"stream uuid\": {{\"9f3c01ab77e2-3\": 17}}}}}}")]
    Shape,
    /// A key of the outer object is not a uuid.
    #[error("the site of a clock: {0}")]
    Site(UuidTextError),
    /// A key of a site's object is not a uuid.
    #[error("the stream of a clock: {0}")]
    Stream(UuidTextError),
    /// A key of a stream's object is not a lane.
    #[error("the lane of a clock: {0}")]
    Lane(#[from] LaneTextError),
    /// A seq that is no integer, or out of range.
    #[error("a seq is an integer from 1 to 9223372036854775807")]
    Seq,
    /// One lane has two seqs.
    #[error("the lane {lane} stands twice in the clock")]
    Twice {
        /// The lane.
        lane: Lane,
    },
}

impl From<JsonError> for ClockTextError {
    fn from(error: JsonError) -> ClockTextError {
        ClockTextError { offset: error.offset, problem: error.problem.into() }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: Option<Dot> = None;
        f.write_str("{")?;
        for dot in self.iter() {
            let same_site = last.is_some_and(|last| last.site == dot.site);
            let same_stream = same_site && last.is_some_and(|last| last.stream == dot.stream);
            f.write_str(match (last.is_some(), same_site, same_stream) {
                (false, _, _) => "",
                (true, false, _) => "}}, ",
                (true, true, false) => "}, ",
                (true, true, true) => ", ",
            })?;
            if !same_site {
                write!(f, "\"{}\": {{", dot.site)?;
            }
            if !same_stream {
                write!(f, "\"{}\": {{", dot.stream)?;
            }
            write!(f, "\"{}\": {}", dot.lane, dot.seq)?;
            last = Some(dot);
        }
        f.write_str(if last.is_some() { "}}}" } else { "}" })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({self})")
    }
}

/// What the keys around a token have said.
#[derive(Default)]
struct Keys {
    depth: usize,
    site: Option<SiteId>,
    stream: Option<StreamId>,
    lane: Option<Lane>,
}

impl Keys {
    fn enter(&mut self, key: &str) -> Result<(), ClockProblem> {
        match self.depth {
            1 => self.site = Some(key.parse().map_err(ClockProblem::Site)?),
            2 => self.stream = Some(key.parse().map_err(ClockProblem::Stream)?),
            _ => self.lane = Some(key.parse()?),
        }
        Ok(())
    }

    fn place(&self) -> Result<Place, ClockProblem> {
        match (self.depth, self.site, self.stream, self.lane) {
            (LEVELS, Some(site), Some(stream), Some(lane)) => Ok((site, stream, lane)),
            _ => Err(ClockProblem::Shape),
        }
    }
}

impl FromStr for Clock {
    type Err = ClockTextError;

    fn from_str(text: &str) -> Result<Clock, ClockTextError> {
        // One level more than there are: what is nested too deep is told that it is no clock, not that it is no JSON.
        let mut scanner = Scanner::new(text, LEVELS + 1);
        let mut keys = Keys::default();
        let mut entries: Vec<(Place, u64, usize)> = Vec::new();
        while let Some(token) = scanner.next_token()? {
            let offset = scanner.token_offset();
            let at_token = |problem| ClockTextError { offset, problem };
            match token {
                Token::BeginObject if keys.depth < LEVELS => keys.depth += 1,
                Token::EndObject => keys.depth -= 1,
                Token::Key(key) => keys.enter(&key).map_err(at_token)?,
                Token::Number(number) => {
                    let place = keys.place().map_err(at_token)?;
                    let seq = number.parse().ok().filter(|seq| (1..=SEQ_MAX).contains(seq));
                    entries.push((place, seq.ok_or(ClockProblem::Seq).map_err(at_token)?, offset));
                }
                _ if keys.depth == LEVELS => return Err(at_token(ClockProblem::Seq)),
                _ => return Err(at_token(ClockProblem::Shape)),
            }
        }
        // Stable, so that of two entries the later one in the text is the one complained about. Linear where the text is in order.
        entries.sort_by_key(|(place, _, _)| *place);
        let twice = entries.array_windows().find(|[(a, ..), (b, ..)]| a == b);
        if let Some([_, ((_, _, lane), _, offset)]) = twice {
            return Err(ClockTextError { offset: *offset, problem: ClockProblem::Twice { lane: *lane } });
        }
        Ok(Clock { entries: entries.into_iter().map(|(place, seq, _)| (place, seq)).collect() })
    }
}
