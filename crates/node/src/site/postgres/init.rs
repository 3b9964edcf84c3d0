//! Making a database a site.

use gundb_core::SiteId;

use crate::error::{Error, Result};
use crate::site::postgres::connection::{Connection, Value};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub site: SiteId,
    /// Whether the extension was not there.
    pub is_new: bool,
}

/// Creates the extension where it is not there, and names the site; `new_identity` makes a copy of a database a site of its own.
pub fn init(url: &str, name: &str, new_identity: bool) -> Result<Made> {
    let connection = Connection::dial(url)?;
    let is_new = connection.extension()?.is_none();
    if is_new {
        connection.run("CREATE EXTENSION gundb").map_err(|error| match error.sqlstate.as_deref() {
            Some("0A000" | "58P01") if error.hint.is_none() => error.hint(
                "The server does not have gundb installed: make install, and shared_preload_libraries = 'gundb'.",
            ),
            Some("42501") => Error { hint: None, ..error }.hint("A superuser creates the extension."),
            _ => error,
        })?;
    }
    let function = if new_identity { "gundb.new_identity" } else { "gundb.set_site_name" };
    connection.row(&format!("SELECT {function}($1)"), &[Value::Text(name)])?;
    let site = connection.value("SELECT gundb.site_id()::text", &[])?;
    connection.close();
    Ok(Made { site, is_new })
}
