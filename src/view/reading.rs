//! What may be read of a view by whom, and one hash of what it shows.

use crate::call::ret;
use crate::error::{Error, Result, state};
use crate::view::table::ViewTable;
use crate::{catalog, sql_function};
use gundb_core::RowsDigest;
use pgrx::pg_sys::Oid;

/// Refuses who may not read all rows of a table: what is told of them is made from events, and so knows neither the
/// rights to a column nor the policies of a row.
pub fn may_read(table: Oid) -> Result<()> {
    let label = || catalog::table_label(table);
    if !catalog::has_privilege(table, "SELECT")? {
        return Err(Error::new(state::PRIVILEGE, format!("permission denied for table {}", label()?)).into());
    }
    if catalog::has_row_security(table)? {
        return Err(Error::new(
            state::PRIVILEGE,
            format!("row-level security of table {} would hide rows from you", label()?),
        )
        .hint("Ask a role that row-level security does not bind, or a SECURITY DEFINER function of its.")
        .into());
    }
    Ok(())
}

sql_function! {
    /// `view_digest(view)`
    fn gundb_view_digest(call) {
        let relation = call.required(call.arg(0), "view")?;
        let view = ViewTable::of_table(Oid::from(relation.value() as u32))?;
        may_read(view.relation)?;
        let mut digest = RowsDigest::new();
        catalog::each_row_by_key(&view.view, view.relation, |row| digest.add(row))?;
        Ok(ret::uuid(&digest.finish()))
    }
}
