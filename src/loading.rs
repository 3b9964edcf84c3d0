//! Being loaded when the server starts: what gundb needs, and how it says so.

use crate::error::{Error, state};
use pgrx::pg_sys;
use std::ffi::CStr;

/// The error for a server that was started without the library, with the exact command that mends it.
pub fn not_preloaded() -> Error {
    // SAFETY: GetConfigOption returns a string that lives at least until the next setting changes.
    let current = unsafe {
        let value = pg_sys::GetConfigOption(c"shared_preload_libraries".as_ptr(), true, false);
        if value.is_null() { String::new() } else { CStr::from_ptr(value).to_string_lossy().into_owned() }
    };
    Error::new(state::NOT_PRELOADED, "gundb must be loaded when the server starts")
        .detail("It keeps its clock and its lanes in shared memory and runs a background worker.")
        .hint(format!(
            "Run ALTER SYSTEM SET shared_preload_libraries = {}; and restart the server.",
            preload_list(&current)
        ))
}

/// The libraries that are loaded now, and gundb, each quoted apart: one string "a, b" would name one library.
pub fn preload_list(current: &str) -> String {
    current
        .split(',')
        .map(|name| name.trim().trim_matches('"'))
        .filter(|name| !name.is_empty() && *name != "gundb")
        .chain(["gundb"])
        .map(|name| format!("'{}'", name.replace('\'', "''")))
        .collect::<Vec<_>>()
        .join(", ")
}

crate::sql_function! {
    /// `check_loading()`
    fn gundb_check_loading(_call) {
        if !crate::shared::is_available() {
            return Err(not_preloaded().into());
        }
        // SAFETY: reads the database's encoding.
        if unsafe { pg_sys::GetDatabaseEncoding() } != pg_sys::pg_enc::PG_UTF8 as i32 {
            return Err(Error::new(state::FEATURE_NOT_SUPPORTED, "gundb needs a database with the encoding UTF8")
                .detail("Event data is JSON, and its hash must be the same at every site.")
                .hint("CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;")
                .into());
        }
        // CREATE EXTENSION calls this first: the launcher is told once it has committed.
        // SAFETY: set since the backend connected.
        let database = unsafe { pg_sys::MyDatabaseId };
        crate::run::database()?;
        crate::transaction::with(|t| t.extension_changed = Some(database));
        Ok(crate::call::NULL)
    }
}
