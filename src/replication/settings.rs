//! What is set for a connection that is called as a peer.
//!
//! Unsafe: settings.

use core::ffi::CStr;
use pgrx::pg_sys;

/// Settings that somebody may have given the database or the role, and that would bite here.
const PINNED: [(&CStr, &CStr); 9] = [
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    // Of a deadlock with somebody who drops or alters something this is the victim, and is called again.
    (c"deadlock_timeout", c"100ms"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"idle_session_timeout", c"0"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_isolation", c"read committed"),
    (c"session_replication_role", c"origin"),
    // What a crash takes of what came is sent again: the next hello says what is held.
    (c"synchronous_commit", c"off"),
];

/// As [`PINNED`], of later versions.
#[cfg(any(feature = "pg17", feature = "pg18"))]
const PINNED_LATER: &[(&CStr, &CStr)] = &[(c"transaction_timeout", c"0")];
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
const PINNED_LATER: &[(&CStr, &CStr)] = &[];

/// Sets them for the rest of the connection.
pub fn pin() {
    for (name, value) in PINNED.iter().chain(PINNED_LATER) {
        // SAFETY: constants; each setting is known to every version from 15 on.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SET,
                true,
                0,
                false,
            );
        }
    }
}
