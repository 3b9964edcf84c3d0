//! A TCP proxy that cuts, or swallows, what goes through it.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Connections stand, and nothing comes through.
    Swallow,
    /// Connections are ended.
    Cut,
}

pub struct Proxy {
    pub address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let modes = mode.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(pump(near_read, far_write, modes.subscribe()));
                tokio::spawn(pump(far_read, near_write, modes.subscribe()));
            }
        });
        Proxy { address, mode }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let now = *mode.borrow_and_update();
        tokio::select! {
            read = from.read(&mut bytes), if now == Mode::Pass => match read {
                Ok(count @ 1..) => if to.write_all(&bytes[..count]).await.is_err() { return },
                _ => return,
            },
            changed = mode.changed() => if changed.is_err() { return },
        }
        if *mode.borrow() == Mode::Cut {
            return;
        }
    }
}
