//! Parcels: in directories, through commands, and by the recipes of `examples/couriers`.

#[cfg(feature = "exec")]
mod exec;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "exec")]
mod recipes;
