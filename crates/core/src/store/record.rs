//! An event as bytes, without its dot: what a key-value store keeps under the dot.
//!
//! ```text
//! flags       1 byte    0x10 (the version), 1: a key stands here, 2: a meta stands here
//! hlc         8 bytes   big-endian
//! distance    LEB128    from the transaction's first stamp to this one
//! epoch       LEB128
//! id         16 bytes
//! salt       16 bytes
//! chain      16 bytes
//! type        LEB128 of its length, and it
//! key         likewise, where there is one
//! meta        likewise, where it is not {}
//! data        the rest
//! ```
//!
//! What must always hold here: one event has one encoding, and what is read was written by [`encode_event`] or is an error; never a panic.

use uuid::Uuid;

use crate::bytes::{DecodeError, DecodeProblem, put_hlc, put_text, put_varint};
use crate::chain::Chain;
use crate::event::Event;
use crate::hlc::Hlc;
use crate::id::Dot;

const VERSION: u8 = 0x10;
const HAS_KEY: u8 = 1;
const HAS_META: u8 = 2;
const NO_META: &str = "{}";

/// An event's bytes. O(its texts).
pub fn encode_event(event: &Event) -> Vec<u8> {
    let texts = event.kind.len() + event.data.len() + event.meta.len() + event.key.as_ref().map_or(0, String::len);
    let mut bytes = Vec::with_capacity(texts + 80);
    let has_meta = event.meta != NO_META;
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    bytes.push(VERSION | flag(event.key.is_some(), HAS_KEY) | flag(has_meta, HAS_META));
    put_hlc(&mut bytes, event.hlc);
    put_varint(&mut bytes, event.hlc.to_bits().saturating_sub(event.xact.to_bits()));
    put_varint(&mut bytes, event.epoch);
    bytes.extend_from_slice(event.id.as_bytes());
    bytes.extend_from_slice(&event.salt);
    bytes.extend_from_slice(&event.chain.0);
    put_text(&mut bytes, &event.kind);
    if let Some(key) = &event.key {
        put_text(&mut bytes, key);
    }
    if has_meta {
        put_text(&mut bytes, &event.meta);
    }
    bytes.extend_from_slice(event.data.as_bytes());
    bytes
}

/// Reads [`encode_event`] back. Allocates what the bytes hold.
pub fn decode_event(dot: Dot, bytes: &[u8]) -> Result<Event, DecodeError> {
    let mut rest = Rest { bytes, length: bytes.len() };
    let [flags] = rest.array()?;
    if flags & !(HAS_KEY | HAS_META) != VERSION {
        return Err(rest.error(DecodeProblem::Version { found: flags }));
    }
    let hlc = rest.hlc(0)?;
    let distance = rest.varint()?;
    let xact = hlc.to_bits().checked_sub(distance).and_then(Hlc::from_bits);
    let xact = xact.ok_or_else(|| rest.error(DecodeProblem::Integer))?;
    let epoch = rest.varint()?;
    let (id, salt, chain) = (Uuid::from_bytes(rest.array()?), rest.array()?, Chain(rest.array()?));
    let kind = rest.text()?;
    let key = if flags & HAS_KEY != 0 { Some(rest.text()?) } else { None };
    let meta = if flags & HAS_META != 0 { rest.text()? } else { NO_META.to_owned() };
    if flags & HAS_META != 0 && meta == NO_META {
        return Err(rest.error(DecodeProblem::Impossible));
    }
    let data = rest.utf8(rest.bytes)?;
    Ok(Event { dot, hlc, xact, epoch, id, kind, key, data, meta, salt, chain })
}

/// The stamp in an event's bytes.
pub fn hlc_of(bytes: &[u8]) -> Result<Hlc, DecodeError> {
    Rest { bytes, length: bytes.len() }.hlc(1)
}

/// The hash under which a store's index finds a key's events. Two keys may share one: whoever finds an event compares its key.
pub fn key_hash(key: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(key);
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// A hash of what these say together: 16 bytes that tell one state of a store from another.
pub fn word(parts: &[&[u8]]) -> [u8; 16] {
    crate::chain::half(&crate::chain::hash(parts))
}

/// What has not been read yet. (The reader of values has a limit that an event's texts together may exceed.)
struct Rest<'a> {
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Rest<'a> {
    fn error(&self, problem: DecodeProblem) -> DecodeError {
        DecodeError { offset: self.length - self.bytes.len(), problem }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.error(DecodeProblem::Truncated))?;
        self.bytes = rest;
        Ok(*array)
    }

    fn hlc(&mut self, skip: usize) -> Result<Hlc, DecodeError> {
        self.bytes = self.bytes.get(skip..).ok_or_else(|| self.error(DecodeProblem::Truncated))?;
        let bits = u64::from_be_bytes(self.array()?);
        Hlc::from_bits(bits).ok_or_else(|| self.error(DecodeProblem::Integer))
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeProblem::Integer))
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| self.error(DecodeProblem::Truncated))?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.error(DecodeProblem::Truncated))?;
        self.bytes = rest;
        self.utf8(text)
    }

    fn utf8(&self, bytes: &[u8]) -> Result<String, DecodeError> {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.error(DecodeProblem::Text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Lane, Run, SiteId, StreamId};
    use proptest::prelude::*;

    fn dot() -> Dot {
        let lane = Lane::new(Run::new(7).unwrap(), 0);
        Dot::new(SiteId(Uuid::from_u128(1)), StreamId::of_name("s"), lane, 3).unwrap()
    }

    prop_compose! {
        fn event()(
            stamp in 0..1u64 << 60, back in 0..1u64 << 30, epoch in any::<u64>(), id in any::<u128>(),
            texts in (".{0,20}", proptest::option::of(".{0,20}"), ".{0,40}", prop_oneof![Just("{}".to_owned()), ".{0,9}"]),
            salt in any::<[u8; 16]>(), chain in any::<[u8; 16]>(),
        ) -> Event {
            let (kind, key, data, meta) = texts;
            Event {
                dot: dot(),
                hlc: Hlc::from_bits(stamp).unwrap(),
                xact: Hlc::from_bits(stamp.saturating_sub(back)).unwrap(),
                epoch, id: Uuid::from_u128(id), kind, key, data, meta, salt, chain: Chain(chain),
            }
        }
    }

    #[test]
    fn the_bytes_of_an_event_never_change() {
        let event = Event {
            dot: dot(),
            hlc: Hlc::new(1_000_000, 2).unwrap(),
            xact: Hlc::new(1_000_000, 0).unwrap(),
            epoch: 300,
            id: Uuid::from_u128(5),
            kind: "Sold".into(),
            key: Some("A-1".into()),
            data: r#"{"qty": 1}"#.into(),
            meta: "{}".into(),
            salt: [6; 16],
            chain: Chain([7; 16]),
        };
        let hexadecimal: String = encode_event(&event).iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = [
            "11",
            "0000000f42400002",
            "02",
            "ac02",
            "00000000000000000000000000000005",
            "06060606060606060606060606060606",
            "07070707070707070707070707070707",
            "04536f6c64",
            "03412d31",
            "7b22717479223a20317d",
        ];
        assert_eq!(hexadecimal, fields.concat());
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written(event in event()) {
            let bytes = encode_event(&event);
            prop_assert_eq!(hlc_of(&bytes).unwrap(), event.hlc);
            prop_assert_eq!(decode_event(dot(), &bytes).unwrap(), event);
        }

        #[test]
        fn other_bytes_are_an_event_of_just_these_bytes_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(event) = decode_event(dot(), &bytes) {
                prop_assert_eq!(encode_event(&event), bytes);
            }
        }

        #[test]
        fn a_cut_event_is_an_error_or_lacks_data_alone(event in event(), cut in 0usize..200) {
            let bytes = encode_event(&event);
            let cut = cut.min(bytes.len());
            if let Ok(found) = decode_event(dot(), &bytes[..cut]) {
                prop_assert!(event.data.starts_with(&found.data));
                prop_assert_eq!(found.chain, event.chain);
            }
        }
    }
}
