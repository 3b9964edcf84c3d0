//! The coordinates of an event: site, stream, run, lane, seq, and the dot that is all of them.
//!
//! What must always hold here: the order of each type and the order of its bytes (`memcmp`) are one order, so that an index, a sorted file and this code
//! never disagree (texts are for people and sort otherwise: they have no leading zeros). A [`Run`] is never zero, and a [`Dot`] that was parsed has a seq
//! in `1..=SEQ_MAX`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The place of an event in its lane, counted from 1.
pub type Seq = u64;

/// The greatest seq, `i64::MAX`: a seq must fit SQL's `bigint`.
pub const SEQ_MAX: Seq = i64::MAX as u64;

/// The namespace of stream uuids: `uuid_v5(NAMESPACE_URL, 'gundb:stream')`. Part of the format: it never changes.
pub const STREAM_NAMESPACE: Uuid = Uuid::from_u128(0xaded3bc0_bef5_5705_8735_e4db7b5947ac);

/// A participant that writes: a database with the extension, or an edge node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub Uuid);

/// A declared kind of event log, the same at every site that declares its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub Uuid);

impl StreamId {
    /// The id of the stream of this name: uuid v5 in [`STREAM_NAMESPACE`], so that sites that never met agree. About 0.3 µs.
    pub fn of_name(name: &str) -> StreamId {
        StreamId(Uuid::new_v5(&STREAM_NAMESPACE, name.as_bytes()))
    }
}

/// Why a text is not a uuid in the one form that gundb takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a uuid of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")]
pub struct UuidTextError {
    /// The offending text, shortened to what a person can read.
    pub text: String,
}

fn parse_uuid(text: &str) -> Result<Uuid, UuidTextError> {
    // The crate also takes braces, `urn:` and bare digits; one thing should have one spelling (case apart).
    let hyphenated = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
    hyphenated.ok_or_else(|| UuidTextError { text: excerpt(text) })
}

/// The beginning of a text, for an error message that stays a line whatever the input was.
fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

macro_rules! uuid_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = UuidTextError;

            fn from_str(text: &str) -> Result<$name, UuidTextError> {
                parse_uuid(text).map($name)
            }
        }
    };
}

uuid_text!(SiteId);
uuid_text!(StreamId);

/// One lifetime of a site's memory, from start to stop or crash: a random number of 48 bits, never zero.
///
/// The caller draws it (this crate knows no randomness). Its text is 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run(u64);

impl Run {
    /// The greatest run: 48 bits.
    pub const MAX: Run = Run((1 << 48) - 1);

    /// A run from its number; None for zero and for more than 48 bits.
    pub const fn new(number: u64) -> Option<Run> {
        if number == 0 || number > Run::MAX.0 { None } else { Some(Run(number)) }
    }

    /// The number, in `1..2^48`.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: each append prints one.
        let mut text = [b'0'; 12];
        let mut value = self.0;
        for place in text.iter_mut().rev() {
            *place = char::from_digit((value & 0xf) as u32, 16).map_or(b'?', |digit| digit as u8);
            value >>= 4;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({self})")
    }
}

/// Why a text is not a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunTextError {
    /// Not exactly 12 hexadecimal digits.
    #[error("a run is 12 hexadecimal digits, not {text:?}")]
    NotTwelveDigits {
        /// The offending text, shortened.
        text: String,
    },
    /// Zero stands for "no run" in encodings.
    #[error("a run is never zero")]
    Zero,
}

impl FromStr for Run {
    type Err = RunTextError;

    fn from_str(text: &str) -> Result<Run, RunTextError> {
        let well_formed = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = if well_formed { u64::from_str_radix(text, 16).ok() } else { None };
        let number = number.ok_or_else(|| RunTextError::NotTwelveDigits { text: excerpt(text) })?;
        Run::new(number).ok_or(RunTextError::Zero)
    }
}

/// One writer's gap-free sequence in a stream, within a run: 48 bits of run, 16 of number. Text: `9f3c01ab77e2-3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u64);

impl Lane {
    /// The lane of this number in this run.
    pub const fn new(run: Run, number: u16) -> Lane {
        Lane(run.0 << 16 | number as u64)
    }

    /// The run that the lane belongs to, and that alone may write it.
    pub const fn run(self) -> Run {
        Run(self.0 >> 16)
    }

    /// The lane's number in its run.
    pub const fn number(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// The 64 bits, run high.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// A lane from its 64 bits; None where the run would be zero.
    pub const fn from_bits(bits: u64) -> Option<Lane> {
        if bits >> 16 == 0 { None } else { Some(Lane(bits)) }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run(), self.number())
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({self})")
    }
}

/// Why a text is not a lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaneTextError {
    /// There is no `-` between run and number.
    #[error("a lane is a run and a number, as in 9f3c01ab77e2-3, not {text:?}")]
    NoHyphen {
        /// The offending text, shortened.
        text: String,
    },
    /// What stands before the `-` is not a run.
    #[error(transparent)]
    Run(#[from] RunTextError),
    /// What stands after the `-` is not a number of 16 bits without leading zeros.
    #[error("a lane's number is 0 to 65535, not {text:?}")]
    Number {
        /// The offending text, shortened.
        text: String,
    },
}

impl FromStr for Lane {
    type Err = LaneTextError;

    fn from_str(text: &str) -> Result<Lane, LaneTextError> {
        let (run, number) = text.split_once('-').ok_or_else(|| LaneTextError::NoHyphen { text: excerpt(text) })?;
        let run: Run = run.parse()?;
        let number = parse_decimal(number)
            .and_then(|number| u16::try_from(number).ok())
            .ok_or_else(|| LaneTextError::Number { text: excerpt(number) })?;
        Ok(Lane::new(run, number))
    }
}

/// A decimal of at most 19 digits as we print it: no sign, no leading zeros.
fn parse_decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if plain && !padded { text.parse().ok() } else { None }
}

/// An event's identity everywhere: site, stream, lane and place in the lane. Ordered in that order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The site that wrote the event.
    pub site: SiteId,
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// The lane that it stands in.
    pub lane: Lane,
    /// Its place in the lane, `1..=SEQ_MAX`.
    pub seq: Seq,
}

/// Why 48 bytes are not a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DotDecodeError {
    /// A dot is exactly [`Dot::BYTES`] long.
    #[error("a dot is 48 bytes, not {found}")]
    Length {
        /// How many bytes there were.
        found: usize,
    },
    /// The lane's run is zero.
    #[error("the run of a dot's lane is zero")]
    RunZero,
    /// The seq is zero or above [`SEQ_MAX`].
    #[error("the seq of a dot is out of range: {seq}")]
    SeqOutOfRange {
        /// The seq that was found.
        seq: u64,
    },
}

impl Dot {
    /// The length of the encoding.
    pub const BYTES: usize = 48;

    /// A dot; None where seq is not in `1..=SEQ_MAX`.
    pub const fn new(site: SiteId, stream: StreamId, lane: Lane, seq: Seq) -> Option<Dot> {
        if seq == 0 || seq > SEQ_MAX { None } else { Some(Dot { site, stream, lane, seq }) }
    }

    /// The encoding: site, stream, lane, seq, big-endian, so that `memcmp` orders as [`Ord`] does.
    pub fn to_bytes(&self) -> [u8; Dot::BYTES] {
        let mut bytes = [0; Dot::BYTES];
        let (site, rest) = bytes.split_at_mut(16);
        let (stream, rest) = rest.split_at_mut(16);
        let (lane, seq) = rest.split_at_mut(8);
        site.copy_from_slice(self.site.0.as_bytes());
        stream.copy_from_slice(self.stream.0.as_bytes());
        lane.copy_from_slice(&self.lane.to_bits().to_be_bytes());
        seq.copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }

    /// Reads [`Dot::to_bytes`] back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Dot, DotDecodeError> {
        let fields = || {
            let (site, rest) = bytes.split_first_chunk::<16>()?;
            let (stream, rest) = rest.split_first_chunk::<16>()?;
            let (lane, rest) = rest.split_first_chunk::<8>()?;
            let seq: &[u8; 8] = rest.try_into().ok()?;
            Some((site, stream, u64::from_be_bytes(*lane), u64::from_be_bytes(*seq)))
        };
        let (site, stream, lane, seq) = fields().ok_or(DotDecodeError::Length { found: bytes.len() })?;
        let lane = Lane::from_bits(lane).ok_or(DotDecodeError::RunZero)?;
        let (site, stream) = (SiteId(Uuid::from_bytes(*site)), StreamId(Uuid::from_bytes(*stream)));
        Dot::new(site, stream, lane, seq).ok_or(DotDecodeError::SeqOutOfRange { seq })
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.site, self.stream, self.lane, self.seq)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dot({self})")
    }
}

/// Why a text is not a dot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DotTextError {
    /// Not four parts between slashes.
    #[error("a dot is site/stream/lane/seq, four parts, not {found}")]
    Parts {
        /// How many parts there were.
        found: usize,
    },
    /// The first part is not a uuid.
    #[error("the site of a dot: {0}")]
    Site(UuidTextError),
    /// The second part is not a uuid.
    #[error("the stream of a dot: {0}")]
    Stream(UuidTextError),
    /// The third part is not a lane.
    #[error("the lane of a dot: {0}")]
    Lane(#[from] LaneTextError),
    /// The fourth part is not a seq.
    #[error("the seq of a dot is 1 to 9223372036854775807, not {text:?}")]
    Seq {
        /// The offending text, shortened.
        text: String,
    },
}

impl FromStr for Dot {
    type Err = DotTextError;

    fn from_str(text: &str) -> Result<Dot, DotTextError> {
        let mut parts = text.split('/');
        let (Some(site), Some(stream), Some(lane), Some(seq), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(DotTextError::Parts { found: text.split('/').count() });
        };
        let site = site.parse().map_err(DotTextError::Site)?;
        let stream = stream.parse().map_err(DotTextError::Stream)?;
        let lane = lane.parse()?;
        parse_decimal(seq)
            .and_then(|seq| Dot::new(site, stream, lane, seq))
            .ok_or_else(|| DotTextError::Seq { text: excerpt(seq) })
    }
}
