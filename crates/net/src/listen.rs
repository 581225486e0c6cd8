//! Listeners: [`Net`] binds them, accepts within the limits, does TLS, and hands each connection
//! to the drive or to the HTTP server; and drains them all at the end.
//!
//! | module | what it holds |
//! |---|---|
//! | `accept` | the accept loop of one listener |
//! | `admit` | who may come in: connections in all and per address |

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ledger, Tasks};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

pub(crate) use self::accept::Accepted;
use self::accept::Acceptor;
use self::admit::Admission;
use crate::config::{Config, Listen};
use crate::drive::{DrainSwitch, Shared, drive};
use crate::error::Error;
use crate::head::Head;
use crate::holders::Holders;
use crate::http::{HttpConfig, Routes, server};
use crate::metrics::Metrics;
use crate::tls::Tls;

mod accept;
mod admit;
#[cfg(test)]
pub(crate) mod tests;

/// Connections that the kernel queues for us.
const BACKLOG: u32 = 1024;

/// What sockets need from the process.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time for sessions and deadlines.
    pub clock: Clock,
    /// The memory budget that input and output are charged to.
    pub ledger: Ledger,
    /// Where connections run. Its shutdown signal drains, as [`Net::drain`] does.
    pub tasks: Tasks,
    /// The crate's metrics.
    pub metrics: Metrics,
}

/// The process's network side; cheap to clone.
#[derive(Clone, Debug)]
pub struct Net {
    parts: Parts,
    holders: Holders,
    switch: Arc<DrainSwitch>,
    live: Arc<watch::Sender<usize>>,
}

/// A listener that is open: until a drain, or until its handles and those of its [`Net`] are all
/// dropped.
#[derive(Clone, Debug)]
pub struct Listener {
    name: &'static str,
    addr: SocketAddr,
    tls: Option<Tls>,
    _switch: Arc<DrainSwitch>,
}

impl Listener {
    /// The head's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it really listens: port 0 has become a number.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its TLS, to reload on demand; `None` on a plain listener.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

impl Net {
    /// No listener yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let switch = Arc::new(DrainSwitch::default());
        let mut shutdown = parts.tasks.shutdown();
        let on_shutdown = Arc::downgrade(&switch);
        parts.tasks.spawn("net.shutdown", async move {
            shutdown.requested().await;
            if let Some(switch) = on_shutdown.upgrade() {
                switch.drain();
            }
        });
        let holders = Holders::new(parts.ledger.clone(), parts.clock.clone());
        let net = Self {
            parts,
            holders: holders.clone(),
            switch,
            live: Arc::new(watch::Sender::new(0)),
        };
        net.watch(holders);
        net
    }

    /// Has those give way who hold what others need.
    fn watch(&self, holders: Holders) {
        let mut shutdown = self.parts.tasks.shutdown();
        self.parts.tasks.spawn("net.memory", async move {
            tokio::select! {
                () = shutdown.requested() => {}
                () = holders.watch() => {}
            }
        });
    }

    /// Listens for `head` as its section says; `None` when that is `"off"` (or nothing).
    ///
    /// # Errors
    /// When the address cannot be bound or the TLS files cannot be used.
    pub async fn listen<H: Head>(
        &self,
        head: H,
        config: &Config,
    ) -> Result<Option<Listener>, Error> {
        let Parts {
            clock,
            ledger,
            metrics,
            ..
        } = self.parts.clone();
        let shared = Arc::new(Shared::new(
            head,
            config.limits.clone(),
            clock,
            ledger,
            self.holders.clone(),
            &metrics,
        ));
        let serve = move |accepted: Accepted| {
            let shared = Arc::clone(&shared);
            async move {
                let Accepted {
                    peer,
                    socket,
                    opened,
                    drain,
                } = accepted;
                drive(shared, peer, socket, opened, drain).await;
            }
        };
        self.open(H::NAME, config, &[], serve).await
    }

    /// Serves HTTP as the section says; `None` when that is `"off"` (or nothing). `name` is the
    /// label in metrics and logs.
    ///
    /// # Errors
    /// When the address cannot be bound or the TLS files cannot be used.
    pub async fn serve_http(
        &self,
        name: &'static str,
        routes: Routes,
        config: &Config,
        http: &HttpConfig,
    ) -> Result<Option<Listener>, Error> {
        let served = Arc::new(server::Served::new(
            routes,
            http.clone(),
            config.limits.clone(),
            &self.parts,
            self.holders.clone(),
            self.parts.metrics.head(name),
        ));
        for holders in served.own_holders() {
            self.watch(holders.clone());
        }
        let serve = move |accepted: Accepted| server::serve(Arc::clone(&served), accepted);
        self.open(name, config, &[b"http/1.1"], serve).await
    }

    async fn open<F, S>(
        &self,
        name: &'static str,
        config: &Config,
        alpn: &[&[u8]],
        serve: F,
    ) -> Result<Option<Listener>, Error>
    where
        F: Fn(Accepted) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let Some(Listen::At(address)) = &config.listen else {
            return Ok(None);
        };
        let metrics = self.parts.metrics.head(name);
        let tls = config
            .tls
            .as_ref()
            .map(|tls| Tls::load(tls, alpn))
            .transpose()?;
        let socket = bind(address).await?;
        let addr = socket.local_addr().map_err(|source| Error::Resolve {
            address: address.clone(),
            source,
        })?;
        if let Some(tls) = &tls {
            let watch = tls.clone().watch(
                self.parts.tasks.clone(),
                self.switch.listener(),
                metrics.clone(),
            );
            self.parts.tasks.spawn("net.tls_reload", watch);
        }
        let acceptor = Acceptor {
            name,
            socket,
            tls: tls.clone(),
            admission: Admission::new(&config.limits, Arc::clone(&self.live)),
            handshake_max: config.limits.handshake_max,
            clock: self.parts.clock.clone(),
            tasks: self.parts.tasks.clone(),
            metrics,
            drain: self.switch.listener(),
        };
        self.parts.tasks.spawn("net.accept", acceptor.run(serve));
        info!(head = name, %addr, tls = tls.is_some(), "listening");
        Ok(Some(Listener {
            name,
            addr,
            tls,
            _switch: Arc::clone(&self.switch),
        }))
    }

    /// Connections that are open, of all listeners.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.live.borrow()
    }

    /// Stops accepting, lets calls in flight end (each connection within its
    /// `limits.drain_max`), closes; waits for that until `deadline` and returns how many
    /// connections were still open then.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.switch.drain();
        let mut live = self.live.subscribe();
        let _ = timeout(deadline, live.wait_for(|n| *n == 0)).await;
        self.connections()
    }
}

/// Binds the first address that `host:port` resolves to and that can be bound; IPv4 first, which
/// is what clients that are told `localhost` try first.
async fn bind(address: &str) -> Result<TcpListener, Error> {
    let resolve = |source| Error::Resolve {
        address: address.to_owned(),
        source,
    };
    let mut resolved: Vec<SocketAddr> = lookup_host(address).await.map_err(resolve)?.collect();
    resolved.sort_by_key(SocketAddr::is_ipv6);
    let mut failure = resolve(std::io::ErrorKind::NotFound.into());
    for address in resolved {
        match bind_at(address) {
            Ok(socket) => return Ok(socket),
            Err(source) => failure = Error::Bind { address, source },
        }
    }
    Err(failure)
}

fn bind_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
