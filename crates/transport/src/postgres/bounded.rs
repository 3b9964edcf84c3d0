//! A connection of which no message may be longer than what a peer may say.
//!
//! tokio-postgres gathers each message whole, however long its header says that it is; so the headers are read here first, in passing. What must always hold
//! here: bytes go through unchanged; one that is no server's first answer, or a message beyond the limit, ends the connection before it is gathered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The longest message of a server: a bundle with the largest event that there can be, and room for what is around it.
pub const MESSAGE_BYTES_MAX: u32 = 272 << 20;

/// What a message begins with: its kind, and its length without that.
const HEADER: usize = 5;

/// A connection whose incoming messages are bounded.
pub struct Bounded<S> {
    stream: S,
    state: State,
}

enum State {
    /// TLS was asked for, and the answer is one byte.
    AskedForTls,
    /// TLS follows: what is in it is bounded beyond it.
    Passed,
    /// A header, as far as it has come; whether it is the first.
    Header { bytes: [u8; HEADER], have: usize, is_first: bool },
    /// So many bytes of a message are still to come.
    Body { left: usize },
}

impl State {
    const FIRST: State = State::Header { bytes: [0; HEADER], have: 0, is_first: true };
}

impl<S> Bounded<S> {
    /// Whether the server is asked for TLS first decides what its first byte means.
    pub fn new(stream: S, asks_for_tls: bool) -> Bounded<S> {
        Bounded { stream, state: if asks_for_tls { State::AskedForTls } else { State::FIRST } }
    }

    /// Looks at what has come.
    fn see(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Passed => return Ok(()),
                State::AskedForTls => match first {
                    b'S' => self.state = State::Passed,
                    b'N' => {
                        self.state = State::FIRST;
                        bytes = rest;
                    }
                    // A server of long ago answers with an error at once.
                    b'E' => self.state = State::FIRST,
                    _ => return Err(no_server()),
                },
                State::Header { bytes: header, have, is_first } => {
                    // Authentication, an error, a notice, or another version of what is spoken.
                    if *is_first && *have == 0 && !b"RENv".contains(first) {
                        return Err(no_server());
                    }
                    if let Some(place) = header.get_mut(*have) {
                        *place = *first;
                    }
                    *have += 1;
                    bytes = rest;
                    if *have == HEADER {
                        let [_, length @ ..] = *header;
                        let length = u32::from_be_bytes(length);
                        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
                            let why = format!(
                                "it announces a message of {length} bytes, and at most {MESSAGE_BYTES_MAX} are taken"
                            );
                            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                        }
                        self.state = State::Body { left: length as usize - 4 };
                    }
                }
                State::Body { left } => {
                    let taken = (*left).min(bytes.len());
                    bytes = bytes.get(taken..).unwrap_or_default();
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Header { bytes: [0; HEADER], have: 0, is_first: false };
                    }
                }
            }
        }
        // A message may end with its header.
        if let State::Body { left: 0 } = self.state {
            self.state = State::Header { bytes: [0; HEADER], have: 0, is_first: false };
        }
        Ok(())
    }
}

fn no_server() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its first answer is none of a PostgreSQL server: is that its port?")
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read {
            let come = buffer.filled().get(before..).unwrap_or_default();
            if let Err(error) = self.see(come) {
                return Poll::Ready(Err(error));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Bounded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// TLS in which messages are bounded.
pub struct BoundedTls<T>(pub T);

impl<T: TlsConnect<S>, S> TlsConnect<S> for BoundedTls<T> {
    type Stream = Bounded<T::Stream>;
    type Error = T::Error;
    type Future = futures_util::future::MapOk<T::Future, fn(T::Stream) -> Bounded<T::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        use futures_util::TryFutureExt;
        self.0.connect(stream).map_ok(|stream| Bounded { stream, state: State::FIRST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(asks_for_tls: bool, pieces: &[&[u8]]) -> io::Result<()> {
        let mut bounded = Bounded::new((), asks_for_tls);
        pieces.iter().try_for_each(|piece| bounded.see(piece))
    }

    #[test]
    fn messages_go_through_however_they_are_cut() {
        let stream = b"NR\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I1\x00\x00\x00\x04D\x00\x00\x00\x06ab";
        assert!(seen(true, &[stream]).is_ok());
        for cut in 0..stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert!(seen(true, &[head, tail]).is_ok());
        }
        assert!(seen(false, &stream[1..].chunks(1).collect::<Vec<_>>()).is_ok());
        assert!(seen(true, &[b"S\x16\x03\x01\xff\xff\xff\xff"]).is_ok(), "TLS is not looked into");
    }

    #[test]
    fn a_message_beyond_the_limit_ends_it_before_it_is_gathered() {
        assert!(seen(false, &[b"R\x00\x00\x00\x08\x00\x00\x00\x00", b"D\x7f\xff\xff\xff"]).is_err());
        assert!(seen(false, &[b"R\x00\x00\x00\x08\x00\x00\x00\x00D\x00", b"\x00\x00\x03"]).is_err());
    }

    #[test]
    fn who_does_not_answer_as_a_server_is_told_at_the_first_byte() {
        for answer in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"SSH-2.0", b"220 mail"] {
            assert!(seen(false, &[answer]).is_err());
        }
        assert!(seen(true, &[b"HTTP/1.1"]).is_err());
        assert!(seen(true, &[b"NHTTP/1.1"]).is_err());
        assert!(seen(true, &[b"E\x00\x00\x00\x05\x00"]).is_ok());
    }
}
