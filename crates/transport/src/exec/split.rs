//! Parcels one after the other, taken apart.

use gundb_core::bundle::{Frame, WireError};

/// The parcels that bytes consist of, as far as they are whole; and what is wrong with what follows them, if anything does. Looks at nothing but where
/// each ends.
pub fn split(bytes: &[u8], parcel_bytes_max: u64) -> (Vec<&[u8]>, Result<(), WireError>) {
    let mut parcels = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = match Frame::length(rest) {
            Ok(Some(length)) => length,
            Ok(None) => return (parcels, Err(WireError::Truncated)),
            Err(why) => return (parcels, Err(why)),
        };
        if length > parcel_bytes_max {
            return (parcels, Err(WireError::TooLarge { what: "a parcel", found: length, limit: parcel_bytes_max }));
        }
        let Some((parcel, after)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length))
        else {
            return (parcels, Err(WireError::Truncated));
        };
        parcels.push(parcel);
        rest = after;
    }
    (parcels, Ok(()))
}
