//! What stands between two servers: certificates that openssl makes, and a wire that delays, or swallows all.

use crate::postgres::run;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// A TCP proxy. It ends with the runtime that it was begun in.
pub struct Wire {
    port: u16,
    swallows: Arc<AtomicBool>,
}

impl Wire {
    /// A wire to a port of 127.0.0.1 on which each byte takes `delay`, either way.
    pub async fn to(port: u16, delay: Duration) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("its address").port();
        let swallows = Arc::new(AtomicBool::new(false));
        let is_swallowing = Arc::clone(&swallows);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(carry(near_in, far_out, delay, Arc::clone(&is_swallowing)));
                tokio::spawn(carry(far_in, near_out, delay, Arc::clone(&is_swallowing)));
            }
        });
        Wire { port: own, swallows }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing arrives, at either end, and nobody is told.
    pub fn swallow(&self) {
        self.swallows.store(true, Ordering::Relaxed);
    }
}

/// Carries bytes; many may be on their way.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration, swallows: Arc<AtomicBool>) {
    let (sent, mut arriving) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !swallows.load(Ordering::Relaxed) && sent.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

/// Certificates in a directory.
pub struct Certificates(PathBuf);

impl Certificates {
    pub fn new(directory: &Path) -> Certificates {
        Certificates(directory.to_owned())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        run(Command::new("openssl").args(arguments).current_dir(&self.0));
    }

    /// An authority: `NAME.crt` and `NAME.key`.
    pub fn authority(&self, name: &str) {
        let (key, certificate, subject) = self.names(name);
        self.openssl(&[
            "req",
            "-x509",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
    }

    /// A certificate that an authority has signed, with these extensions, each a line.
    pub fn signed(&self, name: &str, authority: &str, extensions: &str) {
        let (key, certificate, subject) = self.names(name);
        let request = format!("{name}.csr");
        self.openssl(&[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        let file = format!("{name}.ext");
        std::fs::write(self.path(&file), extensions).expect("a file of extensions");
        let (authority_key, authority_certificate, _) = self.names(authority);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-days",
            "2",
            "-CA",
            &authority_certificate,
            "-CAkey",
            &authority_key,
            "-CAcreateserial",
            "-extfile",
            &file,
            "-out",
            &certificate,
        ]);
    }

    fn names(&self, name: &str) -> (String, String, String) {
        (format!("{name}.key"), format!("{name}.crt"), format!("/CN={name}"))
    }
}
