//! Many encoded values merged into one: what an aggregate does.
//!
//! What must always hold here: the outcome is that of merging one by one, which the laws of `merge` allow in any grouping. A merge of causal values walks
//! both, so n values are merged as they come only where that costs by the newcomer alone, and otherwise in pairs of about equal shares: O(all of them · log n).

use super::{Crdt, Mismatch};
use crate::bytes::DecodeError;

/// Values that are being merged.
#[derive(Debug, Clone, Default)]
pub struct Merger {
    /// What was merged already, and of how many values; the shares fall.
    parts: Vec<(u64, Crdt)>,
}

impl Merger {
    /// Takes in an encoded value, of the kind of those before.
    pub fn absorb(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        match self.parts.last_mut() {
            Some((share, value)) if value.merges_in_place() => {
                *share += 1;
                value.merge_encoded(bytes)
            }
            Some((_, value)) => {
                let newcomer = Crdt::decode_as(bytes, value.kind())?;
                self.push(1, newcomer);
                Ok(())
            }
            None => {
                self.parts.push((1, Crdt::decode(bytes)?));
                Ok(())
            }
        }
    }

    /// Takes in what another has merged.
    pub fn combine(&mut self, other: &Merger) -> Result<(), Mismatch> {
        for (share, value) in &other.parts {
            let kinds = self.parts.first().map(|(_, own)| (own.kind(), value.kind()));
            if let Some((left, right)) = kinds
                && left != right
            {
                return Err(Mismatch { left: left.name(), right: right.name() });
            }
            self.push(*share, value.clone());
        }
        Ok(())
    }

    /// What has come of it; None of nothing. More may be taken in afterwards.
    pub fn value(&mut self) -> Option<&Crdt> {
        while self.parts.len() > 1 {
            self.merge_last_two();
        }
        self.parts.first().map(|(_, value)| value)
    }

    fn push(&mut self, share: u64, value: Crdt) {
        self.parts.push((share, value));
        while let [.., (older, value), (newer, _)] = self.parts.as_slice()
            && (older <= newer || value.merges_in_place())
        {
            self.merge_last_two();
        }
    }

    fn merge_last_two(&mut self) {
        if let Some((newer, value)) = self.parts.pop()
            && let Some((older, own)) = self.parts.last_mut()
        {
            *older += newer;
            // All parts are of one kind, so this cannot fail.
            let _ = own.merge(&value);
        }
    }
}
