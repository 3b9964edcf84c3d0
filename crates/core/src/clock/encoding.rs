//! A clock as bytes, version 1: grouped by site, stream and run, integers in LEB128 (`docs/format.md`).
//!
//! What must always hold here: one clock has one encoding, so every other spelling is refused; and no length that was read is believed before the bytes
//! that it promises are there.

use uuid::Uuid;

use super::Clock;
use crate::id::{Lane, Run, SEQ_MAX, SiteId, StreamId};

const VERSION: u8 = 1;

/// The fewest bytes of a lane, a run, a stream and a site, each with what it must hold.
const LANE_BYTES_MIN: usize = 1 + 1;
const RUN_BYTES_MIN: usize = 6 + 1 + LANE_BYTES_MIN;
const STREAM_BYTES_MIN: usize = 16 + 1 + RUN_BYTES_MIN;
const SITE_BYTES_MIN: usize = 16 + 1 + STREAM_BYTES_MIN;

/// Why bytes are not a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockDecodeError {
    /// The first byte names a version that this code does not read.
    #[error("a clock of version {found}, and this code reads version 1")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The bytes end before what they promise.
    #[error("the clock's bytes end too early, at byte {offset}")]
    Truncated {
        /// Where the missing field begins.
        offset: usize,
    },
    /// Bytes follow the last entry.
    #[error("bytes follow the clock, from byte {offset}")]
    Trailing {
        /// Where the clock ended.
        offset: usize,
    },
    /// Sites, streams or runs that do not strictly ascend.
    #[error("the clock's entries do not ascend, at byte {offset}")]
    Order {
        /// Where the offending entry begins.
        offset: usize,
    },
    /// An integer that is padded or does not fit its field, a count or a seq of zero, a run of zero.
    #[error("the clock has an integer that is padded or out of range, at byte {offset}")]
    Integer {
        /// Where the integer begins.
        offset: usize,
    },
    /// More lanes than the caller takes.
    #[error("the clock has more than {lanes_max} lanes")]
    TooMany {
        /// How many would have been taken.
        lanes_max: usize,
    },
}

impl Clock {
    /// The encoding. Equal clocks have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let lanes: Vec<Entry> = self.entries.iter().map(|(place, seq)| (*place, *seq)).collect();
        let mut bytes = vec![VERSION];
        put_groups(
            &mut bytes,
            &lanes,
            |((site, _, _), _)| *site,
            |bytes, site, lanes| {
                bytes.extend_from_slice(site.0.as_bytes());
                put_groups(
                    bytes,
                    lanes,
                    |((_, stream, _), _)| *stream,
                    |bytes, stream, lanes| {
                        bytes.extend_from_slice(stream.0.as_bytes());
                        put_groups(bytes, lanes, |((_, _, lane), _)| lane.run(), put_run);
                    },
                );
            },
        );
        bytes
    }

    /// Reads [`Clock::encode`] back, and nothing else. Linear, and allocates in proportion to the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Clock, ClockDecodeError> {
        Clock::decode_within(bytes, usize::MAX)
    }

    /// Reads a clock of at most so many lanes: a lane takes two bytes here, and a hundred in memory.
    pub fn decode_within(bytes: &[u8], lanes_max: usize) -> Result<Clock, ClockDecodeError> {
        let mut reader = Reader { bytes, offset: 0 };
        let [version] = reader.array()?;
        if version != VERSION {
            return Err(ClockDecodeError::Version { found: version });
        }
        let mut lanes: Vec<Entry> = Vec::new();
        let mut sites = Ascending::default();
        for _ in 0..reader.count_at_least(0, SITE_BYTES_MIN)? {
            let site = SiteId(reader.uuid(&mut sites)?);
            let mut streams = Ascending::default();
            for _ in 0..reader.count_at_least(1, STREAM_BYTES_MIN)? {
                let stream = StreamId(reader.uuid(&mut streams)?);
                let mut runs = Ascending::default();
                for _ in 0..reader.count_at_least(1, RUN_BYTES_MIN)? {
                    let run = reader.run(&mut runs)?;
                    let left = lanes_max.saturating_sub(lanes.len());
                    if !reader.lanes_of_run(run, left, |lane, seq| lanes.push(((site, stream, lane), seq)))? {
                        return Err(ClockDecodeError::TooMany { lanes_max });
                    }
                }
            }
        }
        if reader.offset < bytes.len() {
            return Err(ClockDecodeError::Trailing { offset: reader.offset });
        }
        // `collect` of sorted entries builds the tree in linear time.
        Ok(Clock { entries: lanes.into_iter().collect() })
    }
}

type Entry = (super::Place, u64);

/// Writes the number of groups that entries fall into, and each group.
fn put_groups<K: PartialEq>(
    bytes: &mut Vec<u8>,
    lanes: &[Entry],
    key: impl Fn(&Entry) -> K,
    mut put_group: impl FnMut(&mut Vec<u8>, K, &[Entry]),
) {
    let groups = || lanes.chunk_by(|a, b| key(a) == key(b));
    put_varint(bytes, groups().count() as u64);
    for group in groups() {
        if let Some(first) = group.first() {
            put_group(bytes, key(first), group);
        }
    }
}

fn put_run(bytes: &mut Vec<u8>, run: Run, lanes: &[Entry]) {
    let [_, _, run @ ..] = run.number().to_be_bytes();
    bytes.extend_from_slice(&run);
    put_varint(bytes, lanes.len() as u64);
    let mut lowest = 0;
    for ((_, _, lane), seq) in lanes {
        put_varint(bytes, u64::from(lane.number()) - lowest);
        put_varint(bytes, *seq);
        lowest = u64::from(lane.number()) + 1;
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The last of a sequence that must strictly ascend.
struct Ascending<T>(Option<T>);

impl<T> Default for Ascending<T> {
    fn default() -> Ascending<T> {
        Ascending(None)
    }
}

impl<T: PartialOrd + Copy> Ascending<T> {
    fn take(&mut self, next: T, offset: usize) -> Result<T, ClockDecodeError> {
        let ascends = self.0.is_none_or(|last| last < next);
        self.0 = Some(next);
        if ascends { Ok(next) } else { Err(ClockDecodeError::Order { offset }) }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ClockDecodeError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let array = rest.first_chunk().ok_or(ClockDecodeError::Truncated { offset: self.offset })?;
        self.offset += N;
        Ok(*array)
    }

    fn uuid(&mut self, order: &mut Ascending<Uuid>) -> Result<Uuid, ClockDecodeError> {
        let offset = self.offset;
        order.take(Uuid::from_bytes(self.array()?), offset)
    }

    fn run(&mut self, order: &mut Ascending<Run>) -> Result<Run, ClockDecodeError> {
        let offset = self.offset;
        let number = self.array::<6>()?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        order.take(Run::new(number).ok_or(ClockDecodeError::Integer { offset })?, offset)
    }

    /// False where there are more than so many.
    fn lanes_of_run(
        &mut self,
        run: Run,
        lanes_max: usize,
        mut put: impl FnMut(Lane, u64),
    ) -> Result<bool, ClockDecodeError> {
        let mut lowest = 0;
        let lanes = self.count_at_least(1, LANE_BYTES_MIN)?;
        if lanes > lanes_max as u64 {
            return Ok(false);
        }
        for _ in 0..lanes {
            let offset = self.offset;
            // The distance to the lowest number that keeps the order: whatever is written, lanes ascend.
            let number = self.varint()?.checked_add(lowest).and_then(|number| u16::try_from(number).ok());
            let number = number.ok_or(ClockDecodeError::Integer { offset })?;
            let offset = self.offset;
            match self.varint()? {
                seq @ 1..=SEQ_MAX => put(Lane::new(run, number), seq),
                _ => return Err(ClockDecodeError::Integer { offset }),
            }
            lowest = u64::from(number) + 1;
        }
        Ok(true)
    }

    /// How many entries follow: at least so many, and no more than the bytes that are left can hold.
    fn count_at_least(&mut self, count_min: u64, entry_bytes_min: usize) -> Result<u64, ClockDecodeError> {
        let offset = self.offset;
        let count = self.varint()?;
        let possible = self.bytes.len().saturating_sub(self.offset) / entry_bytes_min;
        if count < count_min {
            Err(ClockDecodeError::Integer { offset })
        } else if count > possible as u64 {
            Err(ClockDecodeError::Truncated { offset: self.bytes.len() })
        } else {
            Ok(count)
        }
    }

    /// LEB128 of at most 64 bits, refused where it is longer than it must be.
    fn varint(&mut self) -> Result<u64, ClockDecodeError> {
        let offset = self.offset;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            let fits = bits << shift >> shift == bits;
            let padded = byte == 0 && shift > 0;
            if !fits || padded {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ClockDecodeError::Integer { offset })
    }
}
