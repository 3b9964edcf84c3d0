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
//! | `cost` | what maintenance has cost |
//! | `maintain` | the trigger: own events into the views |
//! | `applied` | others' events into the views |
//! | `merge` | a batch into the rows |
//! | `fold` | one key, from its state or from its events |
//! | `write` | states and rows written |
//! | `refusal` | what the table does not take |
//! | `reverts` | which events are reverted |
//! | `replay` | a batch into the states that a reducer makes |
//! | `reducer` | a user's reducer, called |
//! | `intake` | which keys a batch changes |
//! | `repeats` | ids that stand under several dots |
//! | `late` | events whose key was busy |
//! | `states` | what is kept of each key: locked, read, written |
//! | `keyed` | rows found by their keys, without plans |
//! | `at_once` | one key, not locked first |
//! | `build` | a whole view from its events; checked, tried again |
//! | `making` | new states, made beside those who append |
//! | `compare` | rows that stand beside states |
//! | `lock` | others locked out, for a moment |
//! | `progress` | how far a long walk has come |
//! | `declare` | the functions that make and drop views |
//! | `rebuild`, `alter` | those that fold them anew, and give them other columns |
//! | `direct` | rows written without plans, where the table is as gundb made it |
//! | `past` | a view as it was |
//! | `history` | what a row went through |
//! | `conflict` | what the winner of a column won over, unseen |
//! | `reading` | who may read a view; one hash of what it shows |
//! | `guard` | who may write to a view's table |

mod alter;
mod applied;
mod at_once;
pub mod batch;
mod build;
mod compare;
mod conflict;
mod contexts;
pub mod cost;
mod declare;
mod direct;
mod fold;
mod guard;
mod history;
mod intake;
mod keyed;
mod late;
mod lock;
mod maintain;
mod making;
mod merge;
mod past;
mod progress;
mod reading;
mod rebuild;
mod reducer;
mod refusal;
pub mod repeats;
mod replay;
pub mod reverts;
mod states;
pub mod table;
mod write;

pub use applied::{bring_in, heal_all};
pub use build::empty;
pub use declare::refuse_unfit;
pub use table::changed as table_changed;
