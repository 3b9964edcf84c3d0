//! The `gundb` binary: see `gundb_node::command`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gundb_node::command::main()
}
