//! How long a topic exchange with 100,000 bindings takes for a message, and what they take of
//! memory: `cargo run --release -p stentor-broker --example routing`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints figures"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "it measures time, and reads its own size"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use base::{Clock, Ledger, Metrics, Rng, Tasks};
use broker::Broker;
use broker::exchange::{Binding, DEFAULT_NAMESPACE, Destination, ExchangeKind, ExchangeSettings};
use broker::meta::Meta;
use broker::queue::QueueSettings;
use bytes::Bytes;
use store::{FileDisk, Store};

/// How many bindings, and to how many destinations.
const BINDINGS: usize = 100_000;
const SINKS: usize = 1_000;
const ROUTES: usize = 1_000_000;

fn open(folder: &std::path::Path) -> Broker {
    let (clock, tasks, metrics) = (Clock::system(), Tasks::current(), Metrics::default());
    let store = store::Parts {
        disk: Arc::new(FileDisk::new(folder).unwrap()),
        clock: clock.clone(),
        ledger: Ledger::new(1 << 30),
        tasks: tasks.clone(),
        metrics: metrics.clone(),
    };
    Broker::open(broker::Parts {
        store: Store::open(store::Config::default(), store).unwrap(),
        meta: Meta::open(&folder.join("meta"), Rng::seeded(1)).unwrap(),
        clock,
        rng: Rng::seeded(2),
        tasks,
        metrics,
        config: broker::Config::default(),
        exchanges: broker::exchange::Config::default(),
        groups: broker::group::Config::default(),
        queues: broker::queue::Config::default(),
    })
    .unwrap()
}

/// Resident bytes of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// A pattern of four words: three in four name a tenant and a device, one in four has wildcards.
fn pattern(n: usize) -> String {
    match n % 4 {
        0 => format!("tenant{}.*.{}.#", n % 997, n),
        _ => format!("tenant{}.site{}.device{n}.state", n % 997, n % 89),
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let exchanges = broker.exchanges();
    let durable = false;
    let topic = ExchangeSettings {
        durable,
        ..ExchangeSettings::durable(ExchangeKind::Topic)
    };
    let declared = exchanges.declare(DEFAULT_NAMESPACE, "topic", topic).await;
    declared.unwrap();
    for n in 0..SINKS {
        let settings = QueueSettings {
            durable,
            ..QueueSettings::default()
        };
        let (queues, name) = (broker.queues(), format!("sink-{n}"));
        let declared = queues.declare(DEFAULT_NAMESPACE, &name, settings).await;
        declared.unwrap();
    }
    let before = resident();
    let started = Instant::now();
    for from in (0..BINDINGS).step_by(1_000) {
        let bindings = (from..from + 1_000).map(|n| Binding {
            source: "topic".to_owned(),
            destination: Destination::Queue(format!("sink-{}", n % SINKS)),
            key: pattern(n),
            arguments: BTreeMap::new(),
        });
        exchanges
            .bind_all(DEFAULT_NAMESPACE, bindings.collect())
            .await
            .unwrap();
    }
    let each = started.elapsed().as_nanos() / BINDINGS as u128;
    let bytes = resident().saturating_sub(before) / BINDINGS;
    println!("{BINDINGS} bindings: {each} ns and {bytes} bytes each");
    for (what, hit) in [("one binding fits", true), ("none fits", false)] {
        let keys: Vec<_> = (0..BINDINGS)
            .filter(|n| n % 4 != 0)
            .map(|n| {
                let key = pattern(n);
                Bytes::from(if hit { key } else { format!("{key}.more") })
            })
            .collect();
        for (which, many) in [("any of them", keys.len()), ("the same few", 16)] {
            let started = Instant::now();
            for n in 0..ROUTES {
                let key = std::slice::from_ref(&keys[(n * 7919) % many]);
                let found = exchanges.route(DEFAULT_NAMESPACE, "topic", key, &|_| None);
                assert_eq!(found.unwrap().len(), usize::from(hit));
            }
            let each = started.elapsed().as_nanos() / ROUTES as u128;
            println!("{what}, {which}: {each} ns for a route");
        }
    }
}
