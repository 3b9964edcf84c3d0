//! A cable to a server, for the benchmarks: `cable DIRECTORY DELAY_MS [silent]` prints the directory in which it listens
//! instead of the server, and carries until its standard input ends. A silent one takes connections and carries nothing.

use gundb_clusters::proxy::{Cable, Proxy};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, delay, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: cable DIRECTORY DELAY_MS [silent]");
        std::process::exit(2);
    };
    let Ok(delay) = delay.parse() else {
        eprintln!("cable: {delay} is not a number of milliseconds");
        std::process::exit(2);
    };
    let proxy = Proxy::to(Path::new(server), Duration::from_millis(delay));
    if rest.iter().any(|word| word == "silent") {
        proxy.set(Cable::Silent);
    }
    println!("{}", proxy.directory().display());
    let mut ignored = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut ignored).await;
}
