//! Namespaces, exchanges, bindings and policies on a whole engine over a folder, across restarts.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ledger, Metrics, Rng, Tasks};
use broker::access::Right;
use broker::exchange::{
    Binding, Config, DEFAULT_NAMESPACE, Destination, ExchangeKind, ExchangeSettings, Match,
    NamespaceSettings,
};
use broker::meta::{Meta, Permission, UserChange};
use broker::policy::{AppliesTo, Layer, Policy};
use broker::{Broker, Error};
use bytes::Bytes;
use store::{FileDisk, Store};

struct Engine {
    broker: Broker,
    tasks: Tasks,
}

impl Engine {
    fn open(folder: &Path) -> Self {
        Self::with(folder, Config::default())
    }

    fn with(folder: &Path, exchanges: Config) -> Self {
        let (clock, tasks, metrics) = (Clock::system(), Tasks::current(), Metrics::default());
        let store = store::Parts {
            disk: Arc::new(FileDisk::new(folder).unwrap()),
            clock: clock.clone(),
            ledger: Ledger::new(1 << 30),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
        };
        let broker = Broker::open(broker::Parts {
            store: Store::open(store::Config::default(), store).unwrap(),
            meta: Meta::open(&folder.join("meta"), Rng::seeded(1)).unwrap(),
            clock,
            rng: Rng::seeded(2),
            tasks: tasks.clone(),
            metrics,
            config: broker::Config::default(),
            exchanges,
            groups: broker::group::Config::default(),
        })
        .unwrap();
        Self { broker, tasks }
    }

    /// Ends in order, so that the folder can be opened again.
    async fn close(self) {
        self.broker.close().await.unwrap();
        self.broker.release();
        assert_eq!(self.tasks.shut_down(Duration::from_secs(60)).await, 0);
        drop(self.broker);
        self.tasks.join_threads();
    }
}

fn binding(source: &str, exchange: &str, key: &str) -> Binding {
    Binding {
        source: source.to_owned(),
        destination: Destination::Exchange(exchange.to_owned()),
        key: key.to_owned(),
        arguments: BTreeMap::new(),
    }
}

fn passing(kind: ExchangeKind) -> ExchangeSettings {
    ExchangeSettings {
        durable: false,
        ..ExchangeSettings::durable(kind)
    }
}

fn names(broker: &Broker, namespace: &str) -> Vec<String> {
    let list = broker.exchanges().list(namespace);
    list.iter().map(|e| e.name().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_durable_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path());
    let exchanges = engine.broker.exchanges();
    let space = DEFAULT_NAMESPACE;
    let mut settings = ExchangeSettings::durable(ExchangeKind::Headers);
    settings.alternate = Some("b".to_owned());
    settings.origin.insert("a".to_owned(), 5.into());
    let (a, created) = exchanges
        .declare(space, "a", settings.clone())
        .await
        .unwrap();
    assert!(created);
    let again = passing(ExchangeKind::Direct);
    let (same, created) = exchanges.declare(space, "a", again).await.unwrap();
    assert!(
        !created && Arc::ptr_eq(&a, &same),
        "an existing one is returned as it is"
    );
    for (name, settings) in [
        ("b", ExchangeSettings::durable(ExchangeKind::Fanout)),
        ("gone", ExchangeSettings::durable(ExchangeKind::Topic)),
        ("passing", passing(ExchangeKind::Topic)),
    ] {
        exchanges.declare(space, name, settings).await.unwrap();
    }
    let mut kept = binding("a", "b", "k");
    kept.arguments.insert("n".to_owned(), Match::Float(0.5));
    for binding in [
        kept.clone(),
        binding("a", "b", "unbound"),
        binding("a", "gone", ""),
        binding("gone", "a", ""),
        binding("a", "passing", ""),
        binding("passing", "a", ""),
    ] {
        assert!(exchanges.bind(space, binding.clone()).await.unwrap());
        assert!(
            !exchanges.bind(space, binding).await.unwrap(),
            "it is there"
        );
    }
    assert!(
        exchanges
            .unbind(space, &binding("a", "b", "unbound"))
            .await
            .unwrap()
    );
    assert!(
        !exchanges
            .unbind(space, &binding("a", "b", "unbound"))
            .await
            .unwrap()
    );
    let used = exchanges.delete(space, "gone", true).await;
    assert!(matches!(used, Err(Error::InUse(_))));
    assert!(exchanges.delete(space, "gone", false).await.unwrap());
    assert!(!exchanges.delete(space, "gone", false).await.unwrap());
    assert_eq!(exchanges.bindings(space).len(), 3);
    engine.close().await;

    let engine = Engine::open(folder.path());
    let exchanges = engine.broker.exchanges();
    assert_eq!(names(&engine.broker, space), ["a", "b"]);
    assert_eq!(exchanges.get(space, "a").unwrap().settings(), &settings);
    assert_eq!(exchanges.bindings(space), std::slice::from_ref(&kept));
    assert_eq!(
        exchanges.to_exchange(space, "b"),
        std::slice::from_ref(&kept)
    );
    // A new row takes no old one's place.
    exchanges
        .bind(space, binding("a", "b", "new"))
        .await
        .unwrap();
    engine.close().await;
    let engine = Engine::open(folder.path());
    assert_eq!(engine.broker.exchanges().of_exchange(space, "a").len(), 2);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_in_one_go_are_made_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Config {
        exchanges_max: 3,
        bindings_max: 2,
        binding_bytes_max: base::ByteSize(64),
        ..Config::default()
    };
    let engine = Engine::with(folder.path(), limits);
    let exchanges = engine.broker.exchanges();
    let space = DEFAULT_NAMESPACE;
    let new = |names: &[&str]| -> Vec<_> {
        let settings = || ExchangeSettings::durable(ExchangeKind::Topic);
        names
            .iter()
            .map(|name| ((*name).to_owned(), settings()))
            .collect()
    };
    let long = "x".repeat(256);
    for (wrong, limit) in [
        (&["a", "b", "c", "d"][..], true),
        (&["a", ""], false),
        (&["a", &long], false),
    ] {
        let refused = exchanges.declare_all(space, new(wrong)).await.unwrap_err();
        assert_eq!(
            matches!(
                refused,
                Error::Limit {
                    name: "exchanges.exchanges_max",
                    limit: 3
                }
            ),
            limit
        );
        assert_eq!(matches!(refused, Error::InvalidRequest(_)), !limit);
        assert_eq!(names(&engine.broker, space), [""; 0]);
    }
    let declared = exchanges
        .declare_all(space, new(&["a", "b", "a"]))
        .await
        .unwrap();
    assert_eq!(
        declared.iter().map(|(_, made)| *made).collect::<Vec<_>>(),
        [true, true, false]
    );
    let unknown = vec![binding("a", "b", "1"), binding("a", "c", "2")];
    let refused = exchanges.bind_all(space, unknown).await;
    assert!(matches!(refused, Err(Error::UnknownExchange(name)) if name == "c"));
    let mut queue = binding("a", "b", "1");
    queue.destination = Destination::Queue("missing".to_owned());
    let refused = exchanges.bind(space, queue).await;
    assert!(matches!(refused, Err(Error::UnknownQueue(name)) if name == "missing"));
    let many = (0..3).map(|n| binding("a", "b", &n.to_string())).collect();
    let refused = exchanges.bind_all(space, many).await;
    assert!(matches!(
        refused,
        Err(Error::Limit {
            name: "exchanges.bindings_max",
            ..
        })
    ));
    let refused = exchanges.bind(space, binding("a", "b", &long)).await;
    assert!(matches!(
        refused,
        Err(Error::Limit {
            name: "exchanges.binding_bytes_max",
            ..
        })
    ));
    assert_eq!(exchanges.bindings(space), []);
    let twice = vec![
        binding("a", "b", "1"),
        binding("a", "b", "1"),
        binding("b", "a", "1"),
    ];
    assert_eq!(exchanges.bind_all(space, twice).await.unwrap(), 2);
    let elsewhere = exchanges.bind("other", binding("a", "b", "1")).await;
    assert!(matches!(elsewhere, Err(Error::UnknownNamespace(_))));
    let route = |namespace: &str, exchange: &str| {
        exchanges.route(namespace, exchange, &[Bytes::from_static(b"1")], &|_| None)
    };
    assert!(route(space, "a").unwrap().is_empty());
    assert!(route(space, "").unwrap().is_empty());
    assert!(matches!(route(space, "c"), Err(Error::UnknownExchange(_))));
    assert!(matches!(
        route("other", "a"),
        Err(Error::UnknownNamespace(_))
    ));
    engine.close().await;
}

fn policy(name: &str, layer: Layer, length: u64) -> Policy {
    Policy {
        name: name.to_owned(),
        layer,
        pattern: "^a".to_owned(),
        applies_to: AppliesTo::All,
        priority: 0,
        definition: BTreeMap::from([("length".to_owned(), length.into())]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path());
    let broker = &engine.broker;
    assert_eq!(broker.namespaces(), ["/"]);
    let given = |name: &str| {
        (
            name.to_owned(),
            ExchangeSettings::durable(ExchangeKind::Topic),
        )
    };
    broker
        .exchanges()
        .predeclare(vec![given("std")])
        .await
        .unwrap();
    let settings = NamespaceSettings {
        origin: BTreeMap::from([("description".to_owned(), "a shop".into())]),
    };
    assert!(
        broker
            .create_namespace("shop", settings.clone())
            .await
            .unwrap()
    );
    assert!(
        !broker
            .create_namespace("shop", settings.clone())
            .await
            .unwrap()
    );
    for namespace in ["/", "shop"] {
        assert_eq!(names(broker, namespace), ["std"]);
    }
    broker
        .exchanges()
        .bind("shop", binding("std", "std", "k"))
        .await
        .unwrap();
    broker
        .set_password("anna", "secret".to_owned())
        .await
        .unwrap();
    let all = Permission {
        configure: ".*".to_owned(),
        write: ".*".to_owned(),
        read: ".*".to_owned(),
    };
    let grant = |namespace: &str| {
        let change = UserChange::Permission(namespace.to_owned(), Some(all.clone()));
        ("anna".to_owned(), change)
    };
    broker
        .change_users(vec![grant("/"), grant("shop")])
        .await
        .unwrap();
    let both = vec![
        policy("p", Layer::Regular, 9),
        policy("p", Layer::Operator, 5),
    ];
    broker.policies().set("shop", both.clone()).await.unwrap();
    broker.policies().set("/", both).await.unwrap();
    assert!(broker.access().may("anna", "shop", Right::Read, "q"));
    engine.close().await;

    let engine = Engine::open(folder.path());
    let broker = &engine.broker;
    assert_eq!(broker.namespaces(), ["/", "shop"]);
    assert_eq!(broker.namespace("shop"), Some(settings));
    let effective = broker.policies().effective("shop", "abc", |_| true);
    assert_eq!(effective.definition["length"], 5);
    assert_eq!(effective.regular.as_deref(), Some("p"));
    assert!(
        broker
            .policies()
            .remove("shop", Layer::Operator, "p")
            .await
            .unwrap()
    );
    assert!(
        !broker
            .policies()
            .remove("shop", Layer::Operator, "p")
            .await
            .unwrap()
    );
    let effective = broker.policies().effective("shop", "abc", |_| true);
    assert_eq!(effective.definition["length"], 9);
    assert!(broker.delete_namespace("shop").await.unwrap());
    assert!(!broker.delete_namespace("shop").await.unwrap());
    let refused = broker
        .policies()
        .set("shop", vec![policy("p", Layer::Regular, 1)])
        .await;
    assert!(matches!(refused, Err(Error::UnknownNamespace(_))));
    engine.close().await;

    let engine = Engine::open(folder.path());
    let broker = &engine.broker;
    assert_eq!(broker.namespaces(), ["/"]);
    broker
        .create_namespace("shop", NamespaceSettings::default())
        .await
        .unwrap();
    assert!(
        names(broker, "shop").is_empty(),
        "no head has asked for any"
    );
    assert!(broker.exchanges().bindings("shop").is_empty());
    assert!(broker.policies().list("shop").is_empty());
    assert!(!broker.access().may_enter("anna", "shop"));
    assert!(broker.access().may("anna", "/", Right::Configure, "q"));
    assert_eq!(broker.policies().list("/").len(), 2);
    engine.close().await;
}
