//! Compiles what is said over gRPC, without `protoc`, where that is built in.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "grpc")]
    grpc()?;
    Ok(())
}

#[cfg(feature = "grpc")]
fn grpc() -> Result<(), Box<dyn std::error::Error>> {
    let proto = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", proto.display());
    let files = protox::compile(["session.proto", "application.proto"], [&proto])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // For those who ask what is served.
    std::fs::write(out.join("services.bin"), prost::Message::encode_to_vec(&files))?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
