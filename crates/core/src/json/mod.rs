//! JSON as PostgreSQL's `jsonb` understands and prints it.
//!
//! - `scan`: text to tokens, strict, bounded in depth
//! - `number`: exact decimals as `numeric` prints them
//! - `value`: the tree, with jsonb's rules for objects
//! - `print`: tokens to canonical text, bounded in length

mod number;
mod print;
mod scan;
mod value;

pub use number::{Number, NumberError};
pub use print::{Printer, TooLarge};
pub use scan::{JsonError, JsonProblem, Scanner, Token};
pub use value::{Json, Limits, Object, canonical_text};
