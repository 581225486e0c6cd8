//! The accept loop of one listener.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Clock, Millis, Tasks};
use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::admit::{Admission, Place};
use crate::drive::Drain;
use crate::head::Peer;
use crate::metrics::HeadMetrics;
use crate::socket::Socket;
use crate::tls::Tls;

/// The first pause after accept(2) failed for want of something; doubled up to
/// [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A peer that vanished without a word is noticed after about 60 + 4 · 15 seconds.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A connection that was let in and, if so configured, is under TLS.
pub(crate) struct Accepted {
    pub(crate) peer: Peer,
    pub(crate) socket: Socket,
    /// When it was accepted, before TLS.
    pub(crate) opened: Instant,
    pub(crate) drain: Drain,
}

/// One listener.
pub(super) struct Acceptor {
    pub(super) name: &'static str,
    pub(super) socket: TcpListener,
    pub(super) tls: Option<Tls>,
    pub(super) admission: Admission,
    pub(super) handshake_max: Millis,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) metrics: HeadMetrics,
    pub(super) drain: Drain,
}

impl Acceptor {
    /// Accepts until the drain; each connection is a task that runs `serve`.
    pub(super) async fn run<F, S>(mut self, serve: F)
    where
        F: Fn(Accepted) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let mut backoff = BACKOFF_MIN;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.requested() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, addr)) => {
                    backoff = BACKOFF_MIN;
                    match self.admission.enter(addr.ip()) {
                        Ok(place) => self.start(socket, addr, place, Arc::clone(&serve)),
                        Err(reason) => {
                            self.metrics.refused(reason);
                            debug!(head = self.name, %addr, reason, "connection refused");
                        }
                    }
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    self.metrics.accept_errors.inc();
                    warn!(head = self.name, %error, ?backoff, "cannot accept, pausing");
                    tokio::select! {
                        () = self.drain.requested() => return,
                        () = sleep(backoff) => {}
                    }
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    fn start<F, S>(
        &self,
        socket: TcpStream,
        addr: std::net::SocketAddr,
        place: Place,
        serve: Arc<F>,
    ) where
        F: Fn(Accepted) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let opened = self.clock.now();
        let (tls, drain, metrics) = (self.tls.clone(), self.drain.clone(), self.metrics.clone());
        let (name, handshake_max) = (self.name, self.handshake_max);
        self.tasks.spawn("net.connection", async move {
            let _place = place;
            let Ok(local) = prepare(&socket) else { return };
            let mut peer = Peer {
                addr,
                local,
                tls: None,
            };
            let socket = match tls {
                None => Socket::Plain(socket),
                Some(tls) => {
                    let mut drained = drain.clone();
                    let shaken = tokio::select! {
                        biased;
                        () = drained.requested() => return metrics.refused("drain"),
                        shaken = within(handshake_max, tls.accept(socket)) => shaken,
                    };
                    match shaken {
                        Ok((socket, info)) => {
                            peer.tls = Some(info);
                            Socket::Tls(Box::new(socket))
                        }
                        Err(error) => {
                            debug!(head = name, %addr, %error, "TLS handshake failed");
                            return metrics.refused("tls");
                        }
                    }
                }
            };
            metrics.accepted.inc();
            metrics.connections.inc();
            // Also given back when the head panics.
            let _open = Open(metrics);
            serve(Accepted {
                peer,
                socket,
                opened,
                drain,
            })
            .await;
        });
    }
}

struct Open(HeadMetrics);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// Runs a handshake under its limit; 0 is none.
async fn within<T>(limit: Millis, handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    if limit.0 == 0 {
        return handshake.await;
    }
    match timeout(limit.into(), handshake).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Answers leave at once, dead peers are noticed. Returns our address.
fn prepare(socket: &TcpStream) -> io::Result<std::net::SocketAddr> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)?;
    socket.local_addr()
}

/// Errors of accept(2) that say nothing about the next one: the connection died in the queue, or
/// brought a network error with it (accept(2), "Error handling").
fn is_about_one_connection(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| {
        [
            Errno::CONNABORTED,
            Errno::INTR,
            Errno::PERM,
            Errno::PROTO,
            Errno::NETDOWN,
            Errno::NETUNREACH,
            Errno::HOSTDOWN,
            Errno::HOSTUNREACH,
            Errno::TIMEDOUT,
        ]
        .contains(&errno)
    })
}
