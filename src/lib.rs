//! gundb as a PostgreSQL extension: datums in, datums out. The algebra lives in `gundb-core`.
//!
//! A guide to the rooms:
//!
//! | room | what lives there |
//! |---|---|
//! | `boundary`, `error` | the border to PostgreSQL's errors; what gundb says |
//! | `subtransaction`, `attempt` | work that can be undone; work that may fail |
//! | `call`, `spi`, `scan`, `jsonb`, `jsonb_form` | reading and writing PostgreSQL's values, statements and rows |
//! | `catalog` | every statement against gundb's own tables |
//! | `shared`, `doubt`, `transaction`, `recent`, `stream`, `statement` | what is remembered: for a life of the server, a transaction, a statement, a table, a plan |
//! | `view` | tables of current state, maintained in the transaction that appends |
//! | `types`, `crdt`, `aggregate` | gundb's types and their functions |
//! | `run`, `lane`, `stamp`, `span`, `epoch`, `duplicate`, `heads` | how a row becomes an event |
//! | `append`, `revert`, `read`, `causality` | what is done with events |
//! | `apply` | events of other sites, and of earlier runs, into this database |
//! | `replication` | exchanging events with other sites |

mod admin;
mod aggregate;
mod append;
mod apply;
mod attempt;
mod boundary;
mod call;
mod catalog;
mod causality;
mod consumer;
mod crdt;
mod doubt;
mod drops;
mod duplicate;
mod epoch;
mod error;
mod heads;
mod jsonb;
mod jsonb_form;
mod lane;
mod launcher;
mod loading;
mod mailbox;
mod random;
mod read;
mod recent;
mod replication;
mod restore;
mod revert;
mod run;
mod scan;
mod settings;
mod shared;
mod span;
mod spi;
mod stamp;
mod statement;
mod stream;
mod subtransaction;
mod transaction;
mod types;
mod utility;
mod verify;
mod view;
mod worker;

use pgrx::pg_sys;

::pgrx::pg_module_magic!(name, version);

/// Called when the library is loaded. Without preloading it only offers its functions, which say what is missing.
///
/// # Safety
/// Called by PostgreSQL.
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn _PG_init() {
    // SAFETY: reads a flag.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    settings::register();
    shared::register();
    transaction::register();
    stream::register();
    statement::register();
    drops::register();
    utility::register();
    launcher::register();
}
