//! What the build makes of `proto/gundb.proto`.
#![allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/gundb.v1.rs"));
