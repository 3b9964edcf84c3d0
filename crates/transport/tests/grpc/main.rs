//! gRPC over loopback, with sites without stores: sessions, and the service for applications.
#![cfg(feature = "grpc")]

mod application;
mod proxy;
mod sessions;
mod site;
