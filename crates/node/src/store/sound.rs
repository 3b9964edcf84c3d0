//! Damage that redb meets with a panic: an error here, as all other damage is.
//!
//! What must always hold here: whatever a file says, whoever opens, reads or writes it gets an error at worst, and the process lives.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Does something with the file. What a panic leaves behind is not looked at again: a transaction is dropped, and whoever writes opens the file anew.
pub fn sound<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::damaged(text.unwrap_or("what it says makes no sense").lines().next().unwrap_or_default()))
    })
}
