//! The digest of what is held: one hash that two sites with equal clocks must agree on.
//!
//! A lane's chain already says everything about the lane, so the digest hashes the heads only: it costs lanes, not
//! events. What must always hold here: the same heads give the same digest, in whatever order they are met.

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
}
