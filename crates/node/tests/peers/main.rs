//! Peers over stores in memory: sessions by gRPC through loopback, and couriers by directories and commands.

mod couriers;
mod sessions;
mod store;
