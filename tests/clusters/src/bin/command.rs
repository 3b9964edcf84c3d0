//! The command line `gundb`, built with these tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    gundb_node::command::main()
}
