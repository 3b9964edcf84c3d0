//! Any CRDT value: its kind, bytes, text, and what can be done with it without knowing which it is.
//!
//! What must always hold here: bytes begin with a version and a kind; whatever is read back prints and encodes as what was read.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::replica::Replica;
use super::text::{CrdtTextError, Node, TextProblem};
use super::{Bcounter, DwFlag, Flag, Gcounter, Gset, Lww, Map, MutationError, Mv, Pncounter, RwSet, Set};
use crate::bytes::{DecodeError, DecodeProblem, Reader, VALUE_BYTES_MAX};
use crate::datum::{did_you_mean, excerpt};
use crate::dictionary::DICTIONARY;
use crate::json::{Json, Limits, Object, Printer, TooLarge};
use crate::suggest::similar;

const VERSION: u8 = 1;

/// What JSON inside a value may cost: as much as an event's data.
pub(super) const VALUE_LIMITS: Limits = Limits { depth: TEXT_DEPTH_MAX, bytes: VALUE_BYTES_MAX };

/// A thousand levels, and the few around a value.
pub(super) const TEXT_DEPTH_MAX: usize = 1010;

/// What a value's text may cost. It spells each replica out and so is many times as long as the bytes, up to PostgreSQL's longest text; but it cannot come
/// to more than the spaces that it lacks make it, so a short text of huge numbers is refused early.
fn text_limits(text: &str) -> Limits {
    const TEXT_BYTES_MAX: usize = (1 << 30) - 2;
    let bytes = text.len().saturating_mul(2).clamp(VALUE_BYTES_MAX, TEXT_BYTES_MAX);
    Limits { depth: TEXT_DEPTH_MAX, bytes }
}

/// What every kind of value can do.
pub trait State: Clone + Eq + Default {
    /// Which kind it is.
    const KIND: Kind;
    /// Whether a merge costs by the other value alone, so that many small ones can be merged into a large one.
    #[doc(hidden)]
    const IN_PLACE: bool = true;
    /// Takes in another value: commutative, associative, idempotent.
    fn merge(&mut self, other: &Self);
    /// A copy whose acts are all this replica's, which must be one that never acted before: so that the copy and the original can go apart and meet again.
    fn reissue(&self, replica: Replica) -> Result<Self, MutationError>;
    #[doc(hidden)]
    fn encode_body(&self, bytes: &mut Vec<u8>);
    #[doc(hidden)]
    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Takes in an encoded value; after an error perhaps in part.
    #[doc(hidden)]
    fn merge_body(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.merge(&Self::decode_body(reader)?);
        Ok(())
    }
    /// The first replica of a range whose acts are in it. None where acts are not counted.
    #[doc(hidden)]
    fn first_of(&self, _: RangeInclusive<Replica>) -> Option<Replica> {
        None
    }
    #[doc(hidden)]
    fn print_body(&self, printer: &mut Printer) -> Result<(), TooLarge>;
    #[doc(hidden)]
    fn read_body(node: Node<'_>) -> Result<Self, TextProblem>;
    /// Replicas, ranges of ticks, entries.
    #[doc(hidden)]
    fn counts(&self) -> (usize, usize, usize);
}

/// What a value is worth, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrdtValue {
    /// Of counters.
    Integer(i128),
    /// Of flags.
    Boolean(bool),
    /// Of sets: by bytes.
    Texts(Vec<String>),
    /// Of `lww`: canonical JSON text; None before the first write.
    Json(Option<String>),
    /// Of `mv`: canonical JSON texts, by bytes, each once.
    Jsons(Vec<String>),
    /// Of `map`: keys by bytes, canonical JSON texts.
    Entries(Vec<(String, String)>),
}

impl CrdtValue {
    /// The canonical JSON text: a number, a boolean, an array or an object; of `lww` what was written, None before that.
    pub fn to_json(&self, limit_bytes: usize) -> Result<Option<String>, TooLarge> {
        let mut printer = Printer::new(limit_bytes);
        match self {
            CrdtValue::Integer(total) => printer.number(&total.to_string())?,
            CrdtValue::Boolean(on) => printer.bool(*on)?,
            CrdtValue::Texts(texts) => {
                printer.begin_array()?;
                texts.iter().try_for_each(|text| printer.string(text))?;
                printer.end_array()?;
            }
            CrdtValue::Json(None) => return Ok(None),
            // The canonical text of any JSON goes out as that of a number does: as it is.
            CrdtValue::Json(Some(json)) => printer.number(json)?,
            CrdtValue::Jsons(jsons) => {
                printer.begin_array()?;
                jsons.iter().try_for_each(|json| printer.number(json))?;
                printer.end_array()?;
            }
            CrdtValue::Entries(entries) => {
                let mut as_jsonb: Vec<&(String, String)> = entries.iter().collect();
                as_jsonb.sort_by_key(|(key, _)| key.len());
                printer.begin_object()?;
                for (key, json) in as_jsonb {
                    printer.key(key)?;
                    printer.number(json)?;
                }
                printer.end_object()?;
            }
        }
        Ok(Some(printer.finish()))
    }
}

/// What a value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// Its kind.
    pub kind: Kind,
    /// Bytes of its encoding.
    pub bytes: usize,
    /// Replicas that it names.
    pub replicas: usize,
    /// Ranges of ticks that it has seen: as many as replicas where nothing is missing.
    pub ranges: usize,
    /// Entries that live in it.
    pub entries: usize,
}

/// Two values that cannot be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {left} and a {right} cannot be merged")]
pub struct Mismatch {
    /// The kind of the one.
    pub left: &'static str,
    /// The kind of the other.
    pub right: &'static str,
}

/// Not the name of a kind of value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no CRDT value is called {name:?}{}", did_you_mean(.suggestion))]
pub struct UnknownKind {
    /// The name.
    pub name: String,
    /// One that it resembles.
    pub suggestion: Option<&'static str>,
}

macro_rules! kinds {
    ($($kind:ident = $byte:literal),+ $(,)?) => {
        /// A kind of CRDT value; its number is the second byte of the encoding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the dictionary says what each means")]
        pub enum Kind {
            $($kind = $byte),+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind),+];
        }

        /// A CRDT value of any kind.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the dictionary says what each means")]
        pub enum Crdt {
            $($kind($kind)),+
        }

        $(impl From<$kind> for Crdt {
            fn from(value: $kind) -> Crdt {
                Crdt::$kind(value)
            }
        })+

        impl Crdt {
            /// The value of this kind to which nothing was done yet.
            pub fn empty(kind: Kind) -> Crdt {
                match kind {
                    $(Kind::$kind => Crdt::$kind($kind::default())),+
                }
            }

            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Crdt::$kind(_) => Kind::$kind),+
                }
            }

            /// Takes in another value of the same kind. O(both).
            pub fn merge(&mut self, other: &Crdt) -> Result<(), Mismatch> {
                match (self, other) {
                    $((Crdt::$kind(own), Crdt::$kind(other)) => own.merge(other),)+
                    (own, other) => return Err(Mismatch { left: own.kind().name(), right: other.kind().name() }),
                }
                Ok(())
            }

            /// Takes in an encoded value of the same kind. O(other), or as [`Crdt::merge`]; after an error perhaps in part.
            pub(super) fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
                let mut reader = Reader::new(bytes)?;
                reader.version(VERSION)?;
                match (self, reader.byte()?) {
                    $((Crdt::$kind(own), $byte) => own.merge_body(&mut reader)?,)+
                    // Of another kind, or of none: decoding says which.
                    (own, _) => return Crdt::decode_as(bytes, own.kind()).map(drop),
                }
                reader.end()
            }

            /// Whether a merge costs by the other value alone.
            pub(super) fn merges_in_place(&self) -> bool {
                match self {
                    $(Crdt::$kind(_) => $kind::IN_PLACE),+
                }
            }

            /// As whom a database acts on this value: as itself, or, on a copy that it reissued, as the replica drawn for that.
            pub fn acting(&self, database: Replica) -> Replica {
                let named = match self {
                    $(Crdt::$kind(value) => value.first_of(database.family())),+
                };
                named.unwrap_or(database)
            }

            /// A copy whose acts are all this replica's, which must be one that never acted before.
            pub fn reissue(&self, replica: Replica) -> Result<Crdt, MutationError> {
                Ok(match self {
                    $(Crdt::$kind(value) => Crdt::$kind(value.reissue(replica)?)),+
                })
            }

            /// The encoding: version, kind, body. Equal values have equal bytes.
            pub fn encode(&self) -> Vec<u8> {
                let mut bytes = vec![VERSION, self.kind() as u8];
                match self {
                    $(Crdt::$kind(value) => value.encode_body(&mut bytes)),+
                }
                bytes
            }

            /// Reads [`Crdt::encode`] back, and nothing else. At most 64 MB; allocates in proportion to the bytes.
            pub fn decode(bytes: &[u8]) -> Result<Crdt, DecodeError> {
                let mut reader = Reader::new(bytes)?;
                reader.version(VERSION)?;
                let value = match reader.byte()? {
                    $($byte => Crdt::$kind($kind::decode_body(&mut reader)?),)+
                    found => return Err(Reader::error_at(1, DecodeProblem::Kind { found })),
                };
                reader.end()?;
                Ok(value)
            }

            fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
                match self {
                    $(Crdt::$kind(value) => value.print_body(printer)),+
                }
            }

            /// The value of a JSON value.
            pub fn from_json(json: &Json) -> Result<Crdt, CrdtTextError> {
                let (name, body) = match json {
                    Json::Object(object) => match object.entries() {
                        [(name, body)] => (name, Node(body)),
                        _ => return Err(CrdtTextError::NotAValue),
                    },
                    _ => return Err(CrdtTextError::NotAValue),
                };
                let kind: Kind = name.parse()?;
                let value = match kind {
                    $(Kind::$kind => $kind::read_body(body).map(Crdt::$kind)),+
                };
                value.map_err(|problem| CrdtTextError::Body { kind: kind.name(), problem })
            }

            fn counts(&self) -> (usize, usize, usize) {
                match self {
                    $(Crdt::$kind(value) => value.counts()),+
                }
            }
        }
    };
}

kinds! {
    Gcounter = 1,
    Pncounter = 2,
    Lww = 3,
    Mv = 4,
    Gset = 5,
    Set = 6,
    RwSet = 7,
    Flag = 8,
    DwFlag = 9,
    Map = 10,
    Bcounter = 11,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        let entry = DICTIONARY.iter().find(|entry| entry.kind == Some(self));
        entry.map_or("", |entry| entry.name)
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Kind, UnknownKind> {
        let kinds = || DICTIONARY.iter().filter_map(|entry| Some((entry.name, entry.kind?)));
        let found = kinds().find(|(candidate, _)| *candidate == name);
        found.map(|(_, kind)| kind).ok_or_else(|| UnknownKind {
            name: excerpt(name),
            suggestion: similar(name, kinds().map(|(name, _)| name)),
        })
    }
}

impl Crdt {
    /// Most bytes of an encoding; a longer one is not read back.
    pub const BYTES_MAX: usize = VALUE_BYTES_MAX;

    /// Reads a value of one kind.
    pub fn decode_as(bytes: &[u8], kind: Kind) -> Result<Crdt, DecodeError> {
        let value = Crdt::decode(bytes)?;
        if value.kind() == kind {
            return Ok(value);
        }
        let (expected, found) = (kind.name(), value.kind().name());
        Err(Reader::error_at(1, DecodeProblem::OtherKind { expected, found }))
    }

    /// Reads the text of a value of one kind; `{}` is the empty one.
    pub fn parse_as(text: &str, kind: Kind) -> Result<Crdt, CrdtTextError> {
        let json = Json::parse(text, text_limits(text))?;
        if json == Json::Object(Object::default()) {
            return Ok(Crdt::empty(kind));
        }
        let value = Crdt::from_json(&json)?;
        if value.kind() == kind {
            return Ok(value);
        }
        let (expected, found) = (kind.name(), value.kind().name());
        Err(CrdtTextError::OtherKind { expected, found })
    }

    /// The text: canonical JSON, of at most so many bytes.
    pub fn to_text(&self, limit_bytes: usize) -> Result<String, TooLarge> {
        let mut printer = Printer::new(limit_bytes);
        printer.begin_object()?;
        printer.key(self.kind().name())?;
        self.print(&mut printer)?;
        printer.end_object()?;
        Ok(printer.finish())
    }

    /// What it is worth.
    pub fn value(&self) -> CrdtValue {
        let owned = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::to_owned).collect::<Vec<_>>();
        match self {
            Crdt::Gcounter(counter) => CrdtValue::Integer(counter.total()),
            Crdt::Pncounter(counter) => CrdtValue::Integer(counter.total()),
            Crdt::Bcounter(counter) => CrdtValue::Integer(counter.total()),
            Crdt::Flag(flag) => CrdtValue::Boolean(flag.is_on()),
            Crdt::DwFlag(flag) => CrdtValue::Boolean(flag.is_on()),
            Crdt::Gset(set) => CrdtValue::Texts(owned(&mut set.elements())),
            Crdt::Set(set) => CrdtValue::Texts(owned(&mut set.elements())),
            Crdt::RwSet(set) => CrdtValue::Texts(owned(&mut set.elements())),
            Crdt::Lww(register) => CrdtValue::Json(register.get().map(str::to_owned)),
            Crdt::Mv(register) => CrdtValue::Jsons(owned(&mut register.values().into_iter())),
            Crdt::Map(map) => {
                let entries = map.entries().map(|(key, value)| (key.to_owned(), value.to_owned()));
                CrdtValue::Entries(entries.collect())
            }
        }
    }

    /// What it is made of.
    pub fn inspect(&self) -> Inspection {
        let (replicas, ranges, entries) = self.counts();
        Inspection { kind: self.kind(), bytes: self.encode().len(), replicas, ranges, entries }
    }
}

impl fmt::Display for Crdt {
    /// The text, without a limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(usize::MAX).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Crdt {
    type Err = CrdtTextError;

    /// Reads what printing gives, in any order of keys and with any white space.
    fn from_str(text: &str) -> Result<Crdt, CrdtTextError> {
        Crdt::from_json(&Json::parse(text, text_limits(text))?)
    }
}
