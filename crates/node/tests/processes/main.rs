//! Real processes over loopback and directories: `gundb run`, `gundb sync --once`, `gundb peer`.

mod application;
mod carried;
mod daemons;
mod site;
