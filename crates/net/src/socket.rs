//! A connected socket, plain or under TLS, as the drive sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base::FileRange;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::UNSENT_MAX;

/// A stream of bytes that may know a way to send from a file without reading it.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Sends from the front of `range` without copying it through the process. `Ok(None)`: this
    /// transport, or this file, cannot; the caller reads and writes.
    fn poll_send_file(
        &mut self,
        _cx: &mut Context<'_>,
        _range: &FileRange,
    ) -> Poll<io::Result<Option<usize>>> {
        Poll::Ready(Ok(None))
    }

    /// Bytes that it may keep of what was written, until it is flushed.
    fn unsent_max(&self) -> usize {
        0
    }
}

/// An in-memory pipe, for tests.
impl Transport for DuplexStream {}

/// What an accepted connection is.
#[derive(Debug)]
pub enum Socket {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over TCP. Boxed: its state is large and most listeners are plain.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bytes given to one sendfile(2): it may have to wait for the disk, and other connections of the
/// same thread wait with it.
const SEND_FILE_MAX: usize = 256 << 10;

impl Transport for Socket {
    fn unsent_max(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(_) => UNSENT_MAX,
        }
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        range: &FileRange,
    ) -> Poll<io::Result<Option<usize>>> {
        let Self::Plain(socket) = self else {
            return Poll::Ready(Ok(None));
        };
        let Some(file) = range.source.file() else {
            return Poll::Ready(Ok(None));
        };
        loop {
            ready!(socket.poll_write_ready(cx))?;
            let sent = socket.try_io(Interest::WRITABLE, || {
                let mut position = range.position;
                let len = range.len.min(SEND_FILE_MAX);
                Ok(rustix::fs::sendfile(
                    &*socket,
                    file,
                    Some(&mut position),
                    len,
                )?)
            });
            match sent {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => return Poll::Ready(Ok(Some(n))),
                // The readiness was stale and is cleared now: wait for the next.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EINVAL, ENOSYS: a file system without sendfile.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                    ) =>
                {
                    return Poll::Ready(Ok(None));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

macro_rules! forward {
    ($self:ident, $socket:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Plain(plain) => {
                let $socket = Pin::new(plain);
                $call
            }
            Socket::Tls(tls) => {
                let $socket = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, socket => socket.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, socket => socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, socket => socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, socket => socket.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, socket => socket.poll_shutdown(cx))
    }
}
