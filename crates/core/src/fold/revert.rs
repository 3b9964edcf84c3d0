//! Reverts: events that take other events out of every fold.
//!
//! The revert of an event has an id that follows from the event's. So whether an event is reverted is a question to the set of ids that are held, whatever
//! came first; sites that revert one event without knowing of each other append one event, by one id; and a revert, being an event with an id, can be
//! reverted.
//!
//! What must always hold here: whether an event is reverted is a function of which reverts are held; `specification::is_reverted` is that function.

use uuid::Uuid;

/// The type of events that revert others.
pub const REVERTED: &str = "gundb.Reverted";

/// The namespace of the ids of reverts: `uuid_v5(NAMESPACE_URL, 'gundb:revert')`. Part of the format: it never changes.
pub const REVERT_NAMESPACE: Uuid = Uuid::from_u128(0xac5da40f_68e0_50bd_b48a_daba26de2319);

/// The id of the event that reverts the event with this id.
pub fn revert_id(id: &Uuid) -> Uuid {
    Uuid::new_v5(&REVERT_NAMESPACE, id.as_bytes())
}

/// The reverts of an event that are held: its own, that one's own, and so on.
///
/// `holds` says whether a revert with this id is held.
pub fn reverts_of<E>(id: &Uuid, mut holds: impl FnMut(&Uuid) -> Result<bool, E>) -> Result<Vec<Uuid>, E> {
    let mut found = Vec::new();
    let mut next = revert_id(id);
    while holds(&next)? {
        found.push(next);
        next = revert_id(&next);
    }
    Ok(found)
}

/// Whether an event is reverted: each of its reverts takes the one before it back. O(its reverts).
pub fn is_reverted<E>(id: &Uuid, holds: impl FnMut(&Uuid) -> Result<bool, E>) -> Result<bool, E> {
    Ok(reverts_of(id, holds)?.len() % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_revert_never_changes() {
        let revert = revert_id(&Uuid::from_u128(1));
        assert_eq!(revert.to_string(), "895ab95d-9858-5644-b000-273f5e6e49db");
        assert_eq!(revert_id(&revert).to_string(), "8d998fc4-854d-5998-8d6b-97e6cf65f73c");
    }
}
