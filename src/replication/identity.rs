//! A copy of a database that becomes a site of its own.

use crate::call::ret;
use crate::catalog;
use crate::error::{Error, Result, state};
use crate::shared::Running;
use crate::spi::as_owner;
use crate::{admin, run, sql_function, transaction};
use gundb_core::SiteId;
use uuid::Uuid;

sql_function! {
    /// `new_identity(name)`
    fn gundb_new_identity(call) {
        let name = call.required(call.text(0), "name")?;
        admin::check_site_name(name)?;
        if transaction::with(|t| t.has_written()) {
            return Err(Error::new(state::WRONG_STATE, "this transaction has appended events")
                .hint("Run gundb.new_identity in a transaction of its own.")
                .into());
        }
        let site = as_owner(|| become_another(name))?;
        Ok(ret::uuid(site.0.as_bytes()))
    }
}

/// Draws the identity that the next run has. The run that is open ends when this commits, while the locks taken here still
/// hold everybody else off: until then, and after a rollback, nothing has changed.
fn become_another(name: &str) -> Result<SiteId> {
    admin::lock_all_streams()?;
    let (_, before) = run::open()?;
    let site = run::random_site()?;
    // By the identity of before: the other one does not append yet.
    catalog::name_site(&SiteId(Uuid::from_bytes(site)), name)?;
    let mut record = Running::default();
    record.site = site;
    record.run = run::random_run()?;
    record.previous = before.run;
    record.started = run::next_stamp()?;
    catalog::record_run(&record, None)?;
    // What this database has defined so far counts still.
    catalog::add_definers(&[SiteId(Uuid::from_bytes(before.site))])?;
    transaction::with(|t| t.ends_run = true);
    Ok(SiteId(Uuid::from_bytes(site)))
}
