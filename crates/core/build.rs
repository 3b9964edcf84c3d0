//! Compiles `proto/gundb.proto`, without `protoc`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", proto.display());
    let files = protox::compile(["gundb.proto"], [&proto])?;
    // Columns of bytes are read as slices of the one payload.
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
