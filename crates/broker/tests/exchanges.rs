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
use broker::message::Message;
use broker::meta::{Meta, Permission, UserChange};
use broker::policy::{AppliesTo, Layer, Policy};
use broker::queue::{DeadLetter, DeleteWhen, Outcome, Queue, QueueSettings, Take};
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
            queues: broker::queue::Config::default(),
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

/// Exchanges and bindings, some of which outlive the process: `kept` alone of the bindings.
async fn fill(broker: &Broker, settings: &ExchangeSettings, kept: &Binding) {
    let (exchanges, space) = (broker.exchanges(), DEFAULT_NAMESPACE);
    for (name, settings) in [
        ("a", settings.clone()),
        ("b", ExchangeSettings::durable(ExchangeKind::Fanout)),
        ("gone", ExchangeSettings::durable(ExchangeKind::Topic)),
        ("passing", passing(ExchangeKind::Topic)),
    ] {
        let (_, created) = exchanges.declare(space, name, settings).await.unwrap();
        assert!(created);
    }
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
    let unbound = binding("a", "b", "unbound");
    assert!(exchanges.unbind(space, &unbound).await.unwrap());
    assert!(!exchanges.unbind(space, &unbound).await.unwrap());
    let used = exchanges.delete(space, "gone", true).await;
    assert!(matches!(used, Err(Error::InUse(_))));
    assert!(exchanges.delete(space, "gone", false).await.unwrap());
    assert!(!exchanges.delete(space, "gone", false).await.unwrap());
    assert_eq!(exchanges.bindings(space).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_durable_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path());
    let space = DEFAULT_NAMESPACE;
    let mut settings = ExchangeSettings::durable(ExchangeKind::Headers);
    settings.alternate = Some("b".to_owned());
    settings.origin.insert("a".to_owned(), 5.into());
    let mut kept = binding("a", "b", "k");
    kept.arguments.insert("n".to_owned(), Match::Float(0.5));
    fill(&engine.broker, &settings, &kept).await;
    engine.close().await;

    let engine = Engine::open(folder.path());
    let exchanges = engine.broker.exchanges();
    assert_eq!(names(&engine.broker, space), ["a", "b"]);
    let a = exchanges.get(space, "a").unwrap();
    assert_eq!(a.settings(), &settings);
    let again = exchanges.declare(space, "a", passing(ExchangeKind::Direct));
    let (same, created) = again.await.unwrap();
    assert!(
        !created && Arc::ptr_eq(&a, &same),
        "it is returned as it is"
    );
    assert_eq!(exchanges.bindings(space), std::slice::from_ref(&kept));
    let to_b = exchanges.to_exchange(space, "b");
    assert_eq!(to_b, std::slice::from_ref(&kept));
    // A new row takes no old one's place.
    let new = binding("a", "b", "new");
    exchanges.bind(space, new).await.unwrap();
    engine.close().await;
    let engine = Engine::open(folder.path());
    let exchanges = engine.broker.exchanges();
    assert_eq!(exchanges.of_exchange(space, "a").len(), 2);
    engine.close().await;
}

fn limited() -> Config {
    Config {
        exchanges_max: 3,
        bindings_max: 2,
        binding_bytes_max: base::ByteSize(64),
        ..Config::default()
    }
}

fn topics(names: &[&str]) -> Vec<(String, ExchangeSettings)> {
    let settings = || ExchangeSettings::durable(ExchangeKind::Topic);
    let names = names.iter();
    names.map(|name| ((*name).to_owned(), settings())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_are_declared_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::with(folder.path(), limited());
    let (exchanges, space) = (engine.broker.exchanges(), DEFAULT_NAMESPACE);
    let long = "x".repeat(256);
    for (wrong, limit) in [
        (&["a", "b", "c", "d"][..], true),
        (&["a", ""], false),
        (&["a", &long], false),
    ] {
        let refused = exchanges.declare_all(space, topics(wrong)).await;
        let refused = refused.unwrap_err();
        let by_limit = matches!(
            refused,
            Error::Limit {
                name: "exchanges.exchanges_max",
                limit: 3
            }
        );
        assert_eq!(by_limit, limit, "{refused}");
        assert!(limit || matches!(refused, Error::InvalidRequest(_)));
        assert_eq!(names(&engine.broker, space), [""; 0]);
    }
    let declared = exchanges.declare_all(space, topics(&["a", "b", "a"])).await;
    let made: Vec<_> = declared.unwrap().iter().map(|(_, made)| *made).collect();
    assert_eq!(made, [true, true, false]);
    let elsewhere = exchanges.declare_all("other", topics(&["a"])).await;
    assert!(matches!(elsewhere, Err(Error::UnknownNamespace(_))));
    let key = [Bytes::from_static(b"1")];
    let route =
        |namespace: &str, exchange: &str| exchanges.route(namespace, exchange, &key, &|_| None);
    assert!(route(space, "a").unwrap().is_empty());
    assert!(route(space, "").unwrap().is_empty());
    assert!(matches!(route(space, "c"), Err(Error::UnknownExchange(_))));
    assert!(matches!(
        route("other", "a"),
        Err(Error::UnknownNamespace(_))
    ));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_are_made_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::with(folder.path(), limited());
    let (exchanges, space) = (engine.broker.exchanges(), DEFAULT_NAMESPACE);
    exchanges
        .declare_all(space, topics(&["a", "b"]))
        .await
        .unwrap();
    let unknown = vec![binding("a", "b", "1"), binding("a", "c", "2")];
    let refused = exchanges.bind_all(space, unknown).await;
    assert!(matches!(refused, Err(Error::UnknownExchange(name)) if name == "c"));
    let mut queue = binding("a", "b", "1");
    queue.destination = Destination::Queue("missing".to_owned());
    let refused = exchanges.bind(space, queue).await;
    assert!(matches!(refused, Err(Error::UnknownQueue(name)) if name == "missing"));
    let limit = |refused: Result<usize, Error>| match refused {
        Err(Error::Limit { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let many = (0..3).map(|n| binding("a", "b", &n.to_string())).collect();
    let refused = exchanges.bind_all(space, many).await;
    assert_eq!(limit(refused), "exchanges.bindings_max");
    let long = vec![binding("a", "b", &"x".repeat(65))];
    let refused = exchanges.bind_all(space, long).await;
    assert_eq!(limit(refused), "exchanges.binding_bytes_max");
    assert_eq!(exchanges.bindings(space), []);
    let twice = ["1", "1", "2"].map(|key| binding("a", "b", key));
    let made = exchanges.bind_all(space, twice.to_vec()).await;
    assert_eq!(made.unwrap(), 2);
    let elsewhere = exchanges.bind("other", binding("a", "b", "1")).await;
    assert!(matches!(elsewhere, Err(Error::UnknownNamespace(_))));
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
async fn policies_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path());
    let both = vec![
        policy("p", Layer::Regular, 9),
        policy("p", Layer::Operator, 5),
    ];
    let policies = engine.broker.policies();
    policies.set("/", both).await.unwrap();
    let mut wrong = policy("wrong", Layer::Regular, 1);
    wrong.pattern = "(".to_owned();
    let refused = policies.set("/", vec![wrong]).await;
    assert!(matches!(refused, Err(Error::InvalidRequest(_))));
    engine.close().await;

    let engine = Engine::open(folder.path());
    let policies = engine.broker.policies();
    let effective = policies.effective("/", "abc", |_| true);
    assert_eq!(effective.definition["length"], 5);
    assert_eq!(effective.regular.as_deref(), Some("p"));
    assert_eq!(effective.operator.as_deref(), Some("p"));
    let remove = || policies.remove("/", Layer::Operator, "p");
    assert!(remove().await.unwrap() && !remove().await.unwrap());
    let effective = policies.effective("/", "abc", |_| true);
    assert_eq!(effective.definition["length"], 9);
    let refused = policies.set("other", vec![policy("p", Layer::Regular, 1)]);
    assert!(matches!(refused.await, Err(Error::UnknownNamespace(_))));
    engine.close().await;
}

fn to_queue(source: &str, queue: &str, key: &str) -> Binding {
    Binding {
        destination: Destination::Queue(queue.to_owned()),
        ..binding(source, "", key)
    }
}

async fn queue(broker: &Broker, name: &str, durable: bool) -> Queue {
    let settings = QueueSettings {
        durable,
        ..QueueSettings::default()
    };
    let queues = broker.queues();
    let declared = queues.declare(DEFAULT_NAMESPACE, name, settings).await;
    declared.unwrap().queue
}

/// Where a message with this key goes.
fn routed(broker: &Broker, exchange: &str, key: &str) -> Vec<String> {
    let keys = [Bytes::copy_from_slice(key.as_bytes())];
    let exchanges = broker.exchanges();
    let found = exchanges.route(DEFAULT_NAMESPACE, exchange, &keys, &|_| None);
    let found = found.unwrap();
    let mut names: Vec<_> = found.iter().map(|queue| queue.name().to_string()).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_lead_to_queues_and_go_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path());
    let (broker, space) = (&engine.broker, DEFAULT_NAMESPACE);
    let exchanges = broker.exchanges();
    exchanges.declare_all(space, topics(&["t"])).await.unwrap();
    let mut brief = ExchangeSettings::durable(ExchangeKind::Fanout);
    brief.auto_delete = true;
    exchanges.declare(space, "brief", brief).await.unwrap();
    let kept = queue(broker, "kept", true).await;
    queue(broker, "passing", false).await;
    let gone = queue(broker, "gone", true).await;
    for name in ["kept", "passing", "gone"] {
        let bound = exchanges.bind(space, to_queue("t", name, "a.#")).await;
        assert!(bound.unwrap());
    }
    let one = to_queue("brief", "gone", "");
    assert!(exchanges.bind(space, one).await.unwrap());
    assert_eq!(routed(broker, "t", "a.b"), ["gone", "kept", "passing"]);
    assert_eq!(routed(broker, "", "kept"), ["kept"]);
    assert_eq!(routed(broker, "", "t"), [""; 0]);
    broker
        .queues()
        .delete(&gone, DeleteWhen::default())
        .await
        .unwrap();
    assert_eq!(routed(broker, "t", "a.b"), ["kept", "passing"]);
    assert_eq!(
        names(broker, space),
        ["t"],
        "the auto-delete one went with it"
    );
    queue(broker, "gone", true).await;
    assert_eq!(
        routed(broker, "t", "a.b"),
        ["kept", "passing"],
        "it is another"
    );
    assert_eq!(exchanges.of_queue(space, "gone"), []);
    let elsewhere = broker
        .queues()
        .declare("other", "q", QueueSettings::default());
    assert!(matches!(elsewhere.await, Err(Error::UnknownNamespace(_))));
    drop((kept, gone));
    engine.close().await;

    let engine = Engine::open(folder.path());
    let broker = &engine.broker;
    assert_eq!(routed(broker, "t", "a.b"), ["kept"]);
    let left = broker.exchanges().bindings(space);
    assert_eq!(left, [to_queue("t", "kept", "a.#")]);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_through_exchanges() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path());
    let (broker, space) = (&engine.broker, DEFAULT_NAMESPACE);
    broker
        .exchanges()
        .declare_all(space, topics(&["dead"]))
        .await
        .unwrap();
    let letters = queue(broker, "letters", true).await;
    let bound = broker
        .exchanges()
        .bind(space, to_queue("dead", "letters", "from.*"));
    assert!(bound.await.unwrap());
    let settings = QueueSettings {
        dead_letter: Some(DeadLetter::Exchange {
            exchange: "dead".to_owned(),
            routing_key: Some(Bytes::from_static(b"from.work")),
        }),
        ..QueueSettings::default()
    };
    let work = broker
        .queues()
        .declare(space, "work", settings)
        .await
        .unwrap();
    let message = Message {
        value: Bytes::from_static(b"body"),
        ..Message::default()
    };
    let published = work.queue.publish(vec![message]).unwrap();
    published.durable().await.unwrap();
    let take = || Take {
        max: 1,
        lease: None,
        wait: Duration::from_secs(60),
        auto_settle: false,
    };
    let taken = work.queue.take(take()).await.unwrap();
    work.queue.settle(&[taken[0].receipt], Outcome::Reject);
    let dead = letters.take(take()).await.unwrap();
    assert_eq!(dead[0].value.as_deref(), Some(&b"body"[..]));
    assert_eq!(&*dead[0].attributes.deaths[0].queue, "work");
    drop((letters, work));
    engine.close().await;
}

fn everything(namespace: &str) -> (String, UserChange) {
    let all = || ".*".to_owned();
    let permission = Permission {
        configure: all(),
        write: all(),
        read: all(),
    };
    let change = UserChange::Permission(namespace.to_owned(), Some(permission));
    ("anna".to_owned(), change)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path());
    let broker = &engine.broker;
    assert_eq!(broker.namespaces(), ["/"]);
    let (exchanges, access) = (broker.exchanges(), broker.access());
    exchanges.predeclare(topics(&["std"])).await.unwrap();
    let settings = NamespaceSettings {
        origin: BTreeMap::from([("description".to_owned(), "a shop".into())]),
    };
    let create = || broker.create_namespace("shop", settings.clone());
    assert!(create().await.unwrap() && !create().await.unwrap());
    for namespace in ["/", "shop"] {
        assert_eq!(names(broker, namespace), ["std"]);
    }
    let loop_ = binding("std", "std", "k");
    exchanges.bind("shop", loop_).await.unwrap();
    let password = "secret".to_owned();
    broker.set_password("anna", password).await.unwrap();
    let both = vec![everything("/"), everything("shop")];
    broker.change_users(both).await.unwrap();
    let p = vec![policy("p", Layer::Regular, 9)];
    broker.policies().set("shop", p).await.unwrap();
    assert!(access.may("anna", "shop", Right::Read, "q"));
    engine.close().await;

    let engine = Engine::open(folder.path());
    let broker = &engine.broker;
    assert_eq!(broker.namespaces(), ["/", "shop"]);
    assert_eq!(broker.namespace("shop"), Some(settings));
    assert_eq!(broker.exchanges().bindings("shop").len(), 1);
    assert!(broker.delete_namespace("shop").await.unwrap());
    assert!(!broker.delete_namespace("shop").await.unwrap());
    assert!(!broker.access().may_enter("anna", "shop"));
    engine.close().await;
    anew(&Engine::open(folder.path()).broker).await;
}

/// A namespace under the name of one that is gone has nothing of it.
async fn anew(broker: &Broker) {
    assert_eq!(broker.namespaces(), ["/"]);
    let settings = NamespaceSettings::default();
    broker.create_namespace("shop", settings).await.unwrap();
    assert!(names(broker, "shop").is_empty(), "no head asked for any");
    assert!(broker.exchanges().bindings("shop").is_empty());
    assert!(broker.policies().list("shop").is_empty());
    assert!(!broker.access().may_enter("anna", "shop"));
    let access = broker.access();
    assert!(access.may("anna", "/", Right::Configure, "q"));
}
