//! Digests: one hash that two sites with equal clocks must agree on. Of what is held, and of a view's rows.
//!
//! A lane's chain already says everything about the lane, so the digest of what is held hashes the heads only: it costs
//! lanes, not events. What must always hold here: the same heads give the same digest, in whatever order they are met;
//! the same rows do, and no others.

use crate::bytes::put_varint;
use crate::chain::{Chain, domain, half, hash};
use crate::id::Dot;

/// The digest of lane heads: each lane's last event and its chain. O(lanes log lanes).
pub fn digest(mut heads: Vec<(Dot, Chain)>) -> [u8; 16] {
    heads.sort_unstable_by_key(|(dot, _)| *dot);
    let mut bytes = Vec::with_capacity(heads.len() * (Dot::BYTES + 16));
    for (dot, chain) in &heads {
        bytes.extend_from_slice(&dot.to_bytes());
        bytes.extend_from_slice(&chain.0);
    }
    half(&hash(&[&domain::DIGEST, &bytes]))
}

/// The digest of rows, taken one by one in the order of their keys. O(bytes), in constant memory.
pub struct RowsDigest(blake3::Hasher);

impl RowsDigest {
    /// Of no rows yet.
    #[expect(clippy::new_without_default, reason = "a digest begins somewhere; it has no neutral value to speak of")]
    pub fn new() -> RowsDigest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&domain::ROWS);
        RowsDigest(hasher)
    }

    /// Takes the next row: the texts of its values, None for NULL.
    pub fn add(&mut self, values: &[Option<&str>]) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, values.len() as u64);
        for value in values {
            bytes.push(u8::from(value.is_some()));
            put_varint(&mut bytes, value.map_or(0, str::len) as u64);
            bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        self.0.update(&bytes);
    }

    /// The digest.
    pub fn finish(&self) -> [u8; 16] {
        half(self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Lane, Run, SiteId, StreamId};
    use uuid::Uuid;

    fn head(site: u128, seq: u64, chain: u8) -> (Dot, Chain) {
        let lane = Lane::new(Run::new(7).unwrap(), 1);
        let dot = Dot::new(SiteId(Uuid::from_u128(site)), StreamId::of_name("s"), lane, seq).unwrap();
        (dot, Chain([chain; 16]))
    }

    #[test]
    fn the_order_of_the_heads_does_not_matter() {
        let (a, b) = (head(1, 3, 9), head(2, 4, 8));
        assert_eq!(digest(vec![a, b]), digest(vec![b, a]));
    }

    #[test]
    fn another_seq_or_chain_gives_another_digest() {
        let base = digest(vec![head(1, 3, 9)]);
        assert_ne!(base, digest(vec![head(1, 4, 9)]));
        assert_ne!(base, digest(vec![head(1, 3, 8)]));
        assert_ne!(base, digest(vec![]));
    }

    #[test]
    fn rows_that_differ_in_a_value_a_null_or_a_boundary_have_other_digests() {
        let of = |rows: &[&[Option<&str>]]| {
            let mut digest = RowsDigest::new();
            rows.iter().for_each(|row| digest.add(row));
            digest.finish()
        };
        let all = [
            of(&[]),
            of(&[&[]]),
            of(&[&[None]]),
            of(&[&[Some("")]]),
            of(&[&[Some("ab")]]),
            of(&[&[Some("a"), Some("b")]]),
            of(&[&[Some("a")], &[Some("b")]]),
            of(&[&[Some("b")], &[Some("a")]]),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != digest), "{at}");
        }
        // Part of the format.
        let text = |digest: [u8; 16]| Uuid::from_bytes(digest).to_string();
        assert_eq!(text(all[0]), "f10b724b-c8e3-0e5d-bf2d-776fc2c2ca3d");
        assert_eq!(text(of(&[&[Some("A-1"), None, Some("2.5")]])), "1035bb25-aa03-eb26-dcd1-6f609d1c55c7");
    }
}
