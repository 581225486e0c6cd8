//! SIGTERM and SIGINT end the server, SIGHUP loads certificates again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a server listens to.
#[derive(Debug)]
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Request {
        tokio::select! {
            biased;
            _ = self.term.recv() => Request::End("SIGTERM"),
            _ = self.int.recv() => Request::End("SIGINT"),
            _ = self.hup.recv() => Request::Reload,
        }
    }

    /// Waits for one that ends the server; its name.
    pub(super) async fn end(&mut self) -> &'static str {
        loop {
            if let Request::End(name) = self.next().await {
                return name;
            }
        }
    }
}

/// What a signal asks for.
pub(super) enum Request {
    /// The end, by the signal of this name.
    End(&'static str),
    /// Certificates are to be loaded again.
    Reload,
}
