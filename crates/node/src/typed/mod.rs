//! Typed events and rows: an enum is what a stream's events may say, a struct is what a view's rows say.
//!
//! An enum's variants are a stream's event types, by their names as serde has them; what a variant holds is the event's data, and a variant that holds nothing
//! is an event whose data says nothing. The JSON Schemas follow from the enum (`schemars`), and are defined in the store as by [`crate::Edge::define_event`].
//!
//! What must always hold here: this is a layer over [`crate::Edge`], which does nothing that its user could not do; whoever waits for events is woken by the
//! commit that brings them, and never looks in vain.
//!
//! | file | one noun |
//! |---|---|
//! | `schemas` | the event types of an enum, and their schemas |
//! | `variant` | an event as a value of the enum, and back |
//! | `stream` | a stream of such events |
//! | `subscription` | events as they come |
//! | `signal` | what wakes who waits |
//! | `view` | a view's rows |

mod schemas;
mod signal;
mod stream;
mod subscription;
mod variant;
mod view;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use stream::Stream;
pub use subscription::{Coming, Received, Subscription};
pub use variant::read;
pub use view::Rows;

/// What a stream's events may say: an enum that derives `serde::Serialize`, `serde::Deserialize` and `schemars::JsonSchema`, a variant an event type.
///
/// The enum itself is tagged as serde tags without being told: `#[serde(tag)]` and `#[serde(untagged)]` on it are refused. Within its variants anything goes.
pub trait Events: Serialize + DeserializeOwned + JsonSchema {}

impl<E: Serialize + DeserializeOwned + JsonSchema> Events for E {}
