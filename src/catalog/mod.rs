//! gundb's own tables: the one room that spells SQL against them.
//!
//! Names are always qualified, so no search path can lead a statement elsewhere. What a user's right decides runs
//! as the user; what gundb must be able to do whoever appends runs inside [`crate::spi::as_owner`].

mod applied;
mod argument;
mod comparisons;
mod consumers;
mod definitions;
mod documents;
mod extension;
mod inbox;
mod links;
mod peer_states;
mod peers;
mod reducers;
mod runs;
mod staged;
mod streams;
mod tables;
mod view_columns;
mod view_late;
mod view_rows;
mod view_states;
mod views;

pub use applied::*;
pub use argument::*;
pub use comparisons::*;
pub use consumers::*;
pub use definitions::*;
pub use documents::*;
pub use extension::*;
pub use inbox::*;
pub use links::{change_links, links};
pub use peer_states::*;
pub use peers::*;
pub use reducers::*;
pub use runs::*;
pub use staged::*;
pub use streams::*;
pub use tables::*;
pub use view_columns::*;
pub use view_late::*;
pub use view_rows::*;
pub use view_states::*;
pub use views::*;
