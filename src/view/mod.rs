//! Views: tables of current state, maintained in the transaction that appends.
//!
//! What a row is, [`gundb_core::fold`] says; what an event does to it, [`gundb_core::view`]. Here events are found,
//! states locked and read, and rows written.
//!
//! | file | one noun |
//! |---|---|
//! | `table` | a view as a backend knows it |
//! | `batch` | what events do to a view, by key |
//! | `contexts` | what authors had seen, looked up when asked for |
//! | `maintain` | the trigger: own events into the views |
//! | `applied` | others' events into the views |
//! | `merge` | a batch into the rows |
//! | `intake` | which keys a batch changes |
//! | `repeats` | ids that stand under several dots |
//! | `late` | events whose key was busy |
//! | `states` | what is kept of each key: locked, read, written |
//! | `build` | a whole view from its events: made, rebuilt, checked |
//! | `declare` | the functions that make and drop views |
//! | `guard` | who may write to a view's table |

mod applied;
pub mod batch;
mod build;
mod contexts;
mod declare;
mod guard;
mod intake;
mod late;
mod maintain;
mod merge;
mod repeats;
mod states;
pub mod table;

pub use applied::{bring_in, heal_all};
pub use build::empty;
pub use declare::refuse_unfit;
