//! Randomness from the operating system, drawn in blocks: a salt and an id an event would otherwise be two
//! system calls an event.

use crate::error::{Error, Result, state};
use gundb_core::Hlc;
use pgrx::pg_sys;
use std::cell::RefCell;

const BLOCK: usize = 4096;

struct Pool {
    bytes: [u8; BLOCK],
    left: usize,
}

thread_local! {
    // Empty until first used, so a forked backend never inherits bytes that another one has too.
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; BLOCK], left: 0 }) };
}

/// `N` random bytes, fit for secrets.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    POOL.with_borrow_mut(|pool| {
        if pool.left < N {
            // SAFETY: the buffer has BLOCK bytes.
            if !unsafe { pg_sys::pg_strong_random(pool.bytes.as_mut_ptr().cast(), BLOCK) } {
                return Err(Error::new(state::INTERNAL, "the operating system gave no random bytes").into());
            }
            pool.left = BLOCK;
        }
        let mut out = [0; N];
        let start = pool.left - N;
        out.copy_from_slice(&pool.bytes[start..pool.left]);
        // What was handed out stays nowhere.
        pool.bytes[start..pool.left].fill(0);
        pool.left = start;
        Ok(out)
    })
}

/// A uuid of version 7 (RFC 9562) for an event with this stamp: 48 bits of milliseconds, 12 of the stamp's counter,
/// 62 random ones. A site's ids so ascend as its stamps do, and go to the right end of their index.
pub fn uuid_v7(stamp: Hlc) -> Result<[u8; 16]> {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&stamp.millis().to_be_bytes()[2..]);
    id[6..8].copy_from_slice(&(0x7000 | (stamp.counter() & 0x0FFF)).to_be_bytes());
    id[8..].copy_from_slice(&bytes::<8>()?);
    id[8] = (id[8] & 0x3F) | 0x80;
    Ok(id)
}
