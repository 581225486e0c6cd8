//! The server: everything opened in order, announced, and closed in order.
//!
//! Start: the data directory (locked first), the log and its recovery, the control state, the
//! engine, the heads. Stop: no new connections, calls in flight end, the engine saves what makes
//! the next start quick, the log syncs and leaves its mark, tasks and threads end; each step has
//! the deadline that is left.

mod announce;
mod files;
mod heads;
mod memory;
mod signals;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Clock, Ledger, Metrics, Rng, Tasks};
use broker::Broker;
use meta::Meta;
use net::{Listener, Net};
use store::{FileDisk, Store};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::exit::{Exit, Failure};
use signals::Request;

/// The control state's file in the data directory.
const META_FILE: &str = "meta.redb";

/// What every part is made of.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: Tasks,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) ground: Ground,
    pub(crate) broker: Broker,
    pub(crate) net: Net,
    pub(crate) listeners: Vec<Listener>,
}

/// Runs a server until a signal ends it.
pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    let clock = Clock::system();
    let started = clock.now();
    files::raise_limit();
    let mut signals = signals::Signals::new()?;
    let shutdown_max = Duration::from(config.general.shutdown_max);
    let server = tokio::select! {
        biased;
        server = Server::start(config) => server?,
        name = signals.end() => {
            info!(signal = name, "stopped before the start was done");
            return Ok(());
        }
    };
    let took = clock.now().saturating_duration_since(started);
    announce::print(&server.listeners, took)?;
    loop {
        match signals.next().await {
            Request::Reload => server.reload_tls(),
            Request::End(name) => {
                info!(signal = name, "shutting down; a second signal ends at once");
                break;
            }
        }
    }
    tokio::select! {
        biased;
        stopped = server.stop(shutdown_max) => stopped,
        name = signals.end() => {
            warn!(signal = name, "ended at once");
            Err(Failure::new(Exit::Failure, "ended by a second signal; the next start recovers"))
        }
    }
}

impl Server {
    /// Opens everything. On an error what was opened is closed again by being dropped.
    pub(crate) async fn start(config: Config) -> Result<Self, Failure> {
        let ground = Ground {
            clock: Clock::system(),
            rng: Rng::system(),
            ledger: Ledger::new(config.memory.limit.as_usize()),
            metrics: Metrics::default(),
            tasks: Tasks::current(),
        };
        memory::register(&ground.metrics, &ground.ledger);
        let opening = {
            let (ground, config) = (ground.clone(), config.clone());
            ground
                .tasks
                .clone()
                .spawn_blocking("server.open", move || open(&ground, &config))
        };
        let opened = opening.await;
        let broker = opened.map_err(|e| Failure::new(Exit::Failure, e.to_string()))??;
        let net = Net::new(net::Parts {
            clock: ground.clock.clone(),
            ledger: ground.ledger.clone(),
            tasks: ground.tasks.clone(),
            metrics: net::Metrics::new(&ground.metrics),
        });
        match heads::listen(&config, &ground, &broker, &net).await {
            Ok(listeners) => Ok(Self {
                ground,
                broker,
                net,
                listeners,
            }),
            Err(failure) => {
                // The directory is left in order: nothing is wrong with it.
                if let Err(error) = broker.close().await {
                    error!(%error, "closing after a failed start");
                }
                broker.release();
                ground.tasks.signal();
                Err(failure)
            }
        }
    }

    /// Loads certificates again.
    pub(crate) fn reload_tls(&self) {
        for listener in &self.listeners {
            let Some(tls) = listener.tls() else { continue };
            match tls.reload() {
                Ok(changed) => info!(head = listener.name(), changed, "certificates loaded again"),
                Err(error) => {
                    warn!(head = listener.name(), %error, "certificates cannot be used; keeping the old ones");
                }
            }
        }
    }

    /// Stops: see the module.
    pub(crate) async fn stop(self, limit: Duration) -> Result<(), Failure> {
        let Self {
            ground,
            broker,
            net,
            listeners,
        } = self;
        let end = ground.clock.now() + limit;
        let left = |clock: &Clock| end.saturating_duration_since(clock.now());
        let open = net.drain(left(&ground.clock)).await;
        if open > 0 {
            warn!(connections = open, "cut off at the deadline");
        }
        drop(listeners);
        let closed = broker.close().await;
        broker.release();
        // The sync is done; what is left to wait for holds no data.
        let rest = left(&ground.clock).max(Duration::from_secs(1));
        drop((broker, net));
        let alive = ground.tasks.shut_down(rest).await;
        if alive > 0 {
            warn!(tasks = alive, "still running at the deadline");
        }
        closed.map_err(Failure::from)?;
        ground.tasks.join_threads();
        info!("everything is on disk; bye");
        Ok(())
    }
}

/// The engine over the data directory. Blocks.
fn open(ground: &Ground, config: &Config) -> Result<Broker, Failure> {
    let data_dir = &config.general.data_dir;
    let disk = FileDisk::new(data_dir).map_err(|error| data_dir_failure(data_dir, &error))?;
    let started: Instant = ground.clock.now();
    let store = Store::open(
        config.store.clone(),
        store::Parts {
            disk: Arc::new(disk),
            clock: ground.clock.clone(),
            ledger: ground.ledger.clone(),
            tasks: ground.tasks.clone(),
            metrics: ground.metrics.clone(),
        },
    )?;
    let meta = Meta::open(&data_dir.join(META_FILE), ground.rng.clone())?;
    let broker = Broker::open(broker::Parts {
        store,
        meta,
        clock: ground.clock.clone(),
        rng: ground.rng.clone(),
        tasks: ground.tasks.clone(),
        metrics: ground.metrics.clone(),
        config: config.topics.clone(),
        groups: config.groups.clone(),
        exchanges: config.exchanges.clone(),
        queues: config.queues.clone(),
    })?;
    let took = ground.clock.now().saturating_duration_since(started);
    info!(data_dir = %data_dir.display(), ?took, topics = broker.topics().len(), "the engine is open");
    Ok(broker)
}

fn data_dir_failure(path: &Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind as E;
    let shown = path.display();
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library adds kinds"
    )]
    let (exit, way_out) = match error.kind() {
        E::PermissionDenied | E::ReadOnlyFilesystem => (
            Exit::ReadOnly,
            "Give this user write access to it, or set data_dir to another one \
             (docs/errors/data-directory-not-writable.md)",
        ),
        E::StorageFull | E::QuotaExceeded => (
            Exit::DiskFull,
            "Free space on this file system (docs/errors/disk-full.md)",
        ),
        _ => (Exit::Failure, "Set data_dir to a directory"),
    };
    Failure::new(
        exit,
        format!("{shown}: cannot make the data directory: {error}. {way_out}"),
    )
}
