//! Transactions that wait, tried again: when asked to, when their time has come, when their stream is there.

use crate::apply::{Delivery, apply, bounds, document};
use crate::call::ret;
use crate::catalog;
use crate::doubt::Waiting;
use crate::error::Result;
use crate::run;
use crate::sql_function;
use gundb_core::{Clock, SiteId};
use std::collections::BTreeSet;

/// Tries all. Returns how many transactions wait no longer.
pub fn retry() -> Result<i64> {
    retry_of(&catalog::staged_sites(None)?)
}

/// Tries those whose time has come, or whose stream is here. Says whether some wait still.
pub fn retry_due() -> Result<bool> {
    let due = catalog::staged_sites(Some(bounds().stamp_max))?;
    if !due.is_empty() {
        retry_of(&due)?;
    }
    Ok(catalog::staged_count()? > 0)
}

/// All that waits.
pub fn waiting_clock() -> Result<Clock> {
    let mut clock = Clock::new();
    if run::database()?.waiting(Waiting::Staged).may_be() {
        for staged in catalog::staged_of_others(&BTreeSet::new())? {
            clock = clock.join(&document::read(&staged.document)?.clock());
        }
    }
    Ok(clock)
}

fn retry_of(sites: &BTreeSet<SiteId>) -> Result<i64> {
    let before = catalog::staged_count()?;
    apply(Delivery::default(), sites)?;
    Ok((before - catalog::staged_count()?).max(0))
}

sql_function! {
    /// `accept_pending(dot)`
    fn gundb_accept_pending(call) {
        let dot = call.dot(0)?;
        catalog::accept_staged(dot.as_ref())?;
        Ok(ret::int8(retry()?))
    }
}
