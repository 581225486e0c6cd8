//! Exchanges of every kind, and namespaces of several of them. The queues are names here; the
//! whole engine is in tests/exchanges.rs.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::bound::Target;
use super::space::Space;
use super::*;
use crate::queue::QueueId;

/// A namespace whose queues are made up.
pub(super) struct Scene {
    space: Space,
    drawn: Cell<u64>,
}

fn id(queue: &str) -> QueueId {
    let bytes = queue
        .bytes()
        .fold(0_u128, |sum, b| (sum << 8) | u128::from(b));
    QueueId(Uuid::from_u128(bytes))
}

fn text(text: &str) -> Match {
    Match::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn arguments<const N: usize>(list: [(&str, Match); N]) -> BTreeMap<String, Match> {
    list.map(|(name, value)| (name.to_owned(), value)).into()
}

impl Scene {
    fn new(exchanges: &[(&str, &str)]) -> Self {
        let space = Space::new("/", NamespaceSettings::default());
        for (name, kind) in exchanges {
            let kind: ExchangeKind = kind.parse().unwrap();
            let settings = ExchangeSettings::durable(kind);
            space.add(Arc::new(Exchange::new(Arc::from(*name), settings)));
        }
        Self {
            space,
            drawn: Cell::new(0),
        }
    }

    fn add(&self, name: &str, settings: ExchangeSettings) {
        let exchange = Exchange::new(Arc::from(name), settings);
        self.space.add(Arc::new(exchange));
    }

    fn bound(source: &str, target: Target, key: &str, with: BTreeMap<String, Match>) -> Arc<Bound> {
        let binding = Binding {
            source: source.to_owned(),
            destination: Destination::Queue(target.name().to_owned()),
            key: key.to_owned(),
            arguments: with,
        };
        Arc::new(Bound::new(&Arc::from(source), target, binding, 0))
    }

    fn bind_with(&self, source: &str, queue: &str, key: &str, with: BTreeMap<String, Match>) {
        let target = Target::Queue(Arc::from(queue), id(queue));
        let source = self.space.get(source).unwrap();
        let bound = Self::bound(source.name(), target, key, with);
        self.space.bind(&source, &bound);
    }

    fn bind(&self, source: &str, queue: &str, key: &str) {
        self.bind_with(source, queue, key, BTreeMap::new());
    }

    fn chain(&self, source: &str, exchange: &str, key: &str) {
        let target = Target::Exchange(Arc::from(exchange));
        let source = self.space.get(source).unwrap();
        let bound = Self::bound(source.name(), target, key, BTreeMap::new());
        self.space.bind(&source, &bound);
    }

    fn unbind(&self, source: &str, queue: &str) {
        let mut bounds = self.space.to_queue(queue);
        bounds.retain(|bound| **bound.source() == *source);
        let leaving = self.space.leaving(bounds, Vec::new());
        self.space.remove(&leaving);
    }

    fn delete(&self, exchange: &str) {
        let exchange = self.space.get(exchange).unwrap();
        let leaving = self.space.leaving(Vec::new(), vec![exchange]);
        self.space.remove(&leaving);
    }

    fn names(&self) -> Vec<String> {
        let list = self.space.list();
        list.iter()
            .map(|exchange| exchange.name().to_string())
            .collect()
    }

    fn ask(&self, exchange: &str, keys: &[&str], headers: &BTreeMap<String, Match>) -> Vec<String> {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| Bytes::copy_from_slice(key.as_bytes()))
            .collect();
        let headers = |name: &str| headers.get(name).cloned();
        let draw = || {
            self.drawn.set(self.drawn.get() + 1);
            self.drawn.get()
        };
        let found = self.space.route(exchange, &keys, &headers, &draw).unwrap();
        let mut names: Vec<_> = found
            .into_iter()
            .map(|(name, _)| name.to_string())
            .collect();
        names.sort_unstable();
        names
    }

    fn route(&self, exchange: &str, key: &str) -> Vec<String> {
        self.ask(exchange, &[key], &BTreeMap::new())
    }
}

#[test]
fn direct_fanout_and_topic() {
    let scene = Scene::new(&[
        ("direct", "direct"),
        ("fanout", "fanout"),
        ("topic", "topic"),
        ("later", "delayed:topic"),
    ]);
    for exchange in ["direct", "fanout", "topic", "later"] {
        scene.bind(exchange, "a", "x.*");
        scene.bind(exchange, "b", "x.y");
        scene.bind(exchange, "b", "#");
    }
    assert_eq!(scene.route("direct", "x.y"), ["b"]);
    assert_eq!(scene.route("direct", "x.*"), ["a"]);
    assert_eq!(scene.route("fanout", "whatever"), ["a", "b"]);
    assert_eq!(scene.route("topic", "x.y"), ["a", "b"]);
    assert_eq!(scene.route("topic", "x"), ["b"]);
    assert_eq!(scene.route("later", "x.z"), ["a", "b"]);
    let none = BTreeMap::new();
    assert_eq!(scene.ask("direct", &["x.*", "x.y"], &none), ["a", "b"]);
    assert_eq!(scene.space.bindings(), 12);
    for exchange in ["direct", "fanout", "topic", "later"] {
        scene.unbind(exchange, "b");
        let left = scene.route(exchange, "x.y");
        assert!(!left.contains(&"b".to_owned()));
        scene.unbind(exchange, "a");
        assert_eq!(scene.space.get(exchange).unwrap().bindings(), 0);
    }
    assert_eq!(scene.space.bindings(), 0);
}

#[test]
fn a_binding_that_says_the_same_is_the_same() {
    let scene = Scene::new(&[("x", "headers")]);
    scene.bind("x", "a", "k");
    scene.bind("x", "a", "k");
    scene.bind("x", "b", "k");
    scene.bind("x", "a", "other");
    scene.bind_with("x", "a", "k", arguments([("h", Match::Int(1))]));
    scene.bind_with("x", "a", "k", arguments([("h", Match::Int(1))]));
    assert_eq!(scene.space.get("x").unwrap().bindings(), 4);
    assert_eq!(scene.space.bindings(), 4);
}

/// Every form of `x-match` with what fits it and what does not.
#[test]
fn headers_in_every_form() {
    let scene = Scene::new(&[("h", "headers")]);
    let form = |name: &str| ("x-match", text(name));
    let one = || ("n", Match::Int(1));
    let x = || ("x-kind", text("pdf"));
    scene.bind_with("h", "default", "", arguments([one(), ("t", text("a"))]));
    scene.bind_with("h", "all", "", arguments([form("all"), one(), x()]));
    scene.bind_with("h", "any", "", arguments([form("any"), one(), x()]));
    scene.bind_with(
        "h",
        "all-x",
        "",
        arguments([form("all-with-x"), one(), x()]),
    );
    scene.bind_with(
        "h",
        "any-x",
        "",
        arguments([form("any-with-x"), one(), x()]),
    );
    scene.bind_with("h", "there", "", arguments([("n", Match::Void)]));
    scene.bind_with("h", "empty-all", "", arguments([form("all")]));
    scene.bind_with("h", "empty-any", "", arguments([form("any")]));
    let ask = |headers| scene.ask("h", &[""], &headers);
    assert_eq!(ask(arguments([])), ["empty-all"]);
    assert_eq!(ask(arguments([x()])), ["any-x", "empty-all"]);
    assert_eq!(
        ask(arguments([one()])),
        ["all", "any", "any-x", "empty-all", "there"]
    );
    assert_eq!(
        ask(arguments([one(), x()])),
        ["all", "all-x", "any", "any-x", "empty-all", "there"]
    );
    assert_eq!(
        ask(arguments([one(), ("t", text("a"))])),
        ["all", "any", "any-x", "default", "empty-all", "there"]
    );
    assert_eq!(
        ask(arguments([("n", Match::Float(1.0))])),
        ["empty-all", "there"]
    );
    assert_eq!(ask(arguments([("n", text("1"))])), ["empty-all", "there"]);
    for queue in [
        "default",
        "all",
        "any",
        "all-x",
        "any-x",
        "there",
        "empty-all",
        "empty-any",
    ] {
        scene.unbind("h", queue);
    }
    assert_eq!(ask(arguments([one(), x()])), [""; 0]);
    let wrong = Binding {
        source: "h".to_owned(),
        destination: Destination::Queue("q".to_owned()),
        key: String::new(),
        arguments: arguments([form("some")]),
    };
    let refused = scene.space.get("h").unwrap().check(&wrong);
    assert!(matches!(refused, Err(Error::InvalidRequest(_))));
}

#[test]
fn exchanges_in_circles_are_come_to_once() {
    let scene = Scene::new(&[("a", "fanout"), ("b", "fanout"), ("c", "direct")]);
    scene.chain("a", "b", "");
    scene.chain("b", "a", "");
    scene.chain("b", "c", "");
    scene.chain("c", "c", "k");
    scene.bind("a", "qa", "");
    scene.bind("b", "qb", "");
    scene.bind("b", "qa", "again");
    scene.bind("c", "qc", "k");
    assert_eq!(scene.route("a", "k"), ["qa", "qb", "qc"]);
    assert_eq!(scene.route("b", "other"), ["qa", "qb"]);
    scene.delete("b");
    assert_eq!(scene.route("a", "k"), ["qa"]);
    assert_eq!(scene.route("c", "k"), ["qc"]);
    assert_eq!(scene.names(), ["a", "c"]);
    assert_eq!(scene.space.bindings(), 3);
}

#[test]
fn an_alternate_gets_what_no_binding_takes() {
    let scene = Scene::new(&[("b", "direct"), ("last", "fanout")]);
    let with = |alternate: &str| ExchangeSettings {
        alternate: Some(alternate.to_owned()),
        ..ExchangeSettings::durable(ExchangeKind::Direct)
    };
    scene.add("a", with("b"));
    scene.add("lonely", with("missing"));
    scene.add("own", with("own"));
    scene.bind("a", "qa", "k");
    scene.bind("b", "qb", "l");
    scene.bind("last", "ql", "");
    assert_eq!(scene.route("a", "k"), ["qa"]);
    assert_eq!(scene.route("a", "l"), ["qb"]);
    assert_eq!(scene.route("a", "m"), [""; 0]);
    scene.space.get("b").unwrap().set_alternate(Some("last"));
    assert_eq!(
        scene.route("a", "m"),
        ["ql"],
        "from a policy, and the alternate's alternate"
    );
    let a = scene.space.get("a").unwrap();
    a.set_alternate(Some("last"));
    assert_eq!(
        a.alternate().as_deref(),
        Some("b"),
        "the settings come first"
    );
    assert_eq!(scene.route("lonely", "k"), [""; 0]);
    assert_eq!(scene.route("own", "k"), [""; 0]);
    // A binding that leads to an exchange is one, though it ends nowhere.
    scene.chain("a", "lonely", "z");
    assert_eq!(scene.route("a", "z"), [""; 0]);
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let scene = Scene::new(&[("keep", "fanout")]);
    let passing = || ExchangeSettings {
        auto_delete: true,
        ..ExchangeSettings::durable(ExchangeKind::Fanout)
    };
    for name in ["first", "second", "other"] {
        scene.add(name, passing());
    }
    scene.chain("keep", "first", "");
    scene.chain("first", "second", "");
    scene.bind("second", "q", "1");
    scene.bind("second", "q", "2");
    scene.bind("other", "q", "");
    scene.bind("other", "r", "");
    assert_eq!(scene.names().len(), 4);
    scene.unbind("second", "q");
    assert_eq!(scene.names(), ["keep", "other"], "one after the other");
    scene.unbind("other", "q");
    assert_eq!(scene.names(), ["keep", "other"]);
    scene.unbind("other", "r");
    assert_eq!(scene.names(), ["keep"]);
    assert_eq!(scene.space.bindings(), 0);
}

#[test]
fn many_bindings_that_go_at_once_leave_the_others() {
    let scene = Scene::new(&[("f", "fanout"), ("t", "topic"), ("h", "headers")]);
    for n in 0..200 {
        for exchange in ["f", "t", "h"] {
            let with = arguments([("n", Match::Int(n % 5))]);
            scene.bind_with(
                exchange,
                if n % 2 == 0 { "even" } else { "odd" },
                &format!("k.{n}"),
                with,
            );
        }
    }
    for exchange in ["f", "t", "h"] {
        scene.unbind(exchange, "odd");
        let found = scene.ask(
            exchange,
            &["k.4", "k.5"],
            &arguments([("n", Match::Int(0))]),
        );
        assert_eq!(found, ["even"], "{exchange}");
        assert_eq!(scene.space.get(exchange).unwrap().bindings(), 100);
    }
    assert_eq!(scene.space.bindings(), 300);
}

/// How many of 10,000 keys each queue gets.
fn shares(scene: &Scene, exchange: &str) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for n in 0..10_000 {
        let found = scene.route(exchange, &format!("key-{n}"));
        assert_eq!(found.len(), 1);
        *shares.entry(found[0].clone()).or_default() += 1;
    }
    shares
}

#[test]
fn a_consistent_hash_keeps_shares_and_moves_little() {
    let scene = Scene::new(&[("c", "consistent-hash")]);
    for (queue, weight) in [("a", "1"), ("b", "1"), ("c", "2")] {
        scene.bind("c", queue, weight);
    }
    let shares = shares(&scene, "c");
    for (queue, share) in [("a", 2500), ("b", 2500), ("c", 5000)] {
        assert!(shares[queue].abs_diff(share) < 250, "{shares:?}");
    }
    let before: Vec<_> = (0..1000)
        .map(|n| scene.route("c", &n.to_string()))
        .collect();
    scene.bind("c", "d", "1");
    for (n, old) in before.iter().enumerate() {
        let new = scene.route("c", &n.to_string());
        assert!(
            new == *old || new == ["d"],
            "only what the new one gets moves"
        );
    }
    scene.unbind("c", "d");
    let after: Vec<_> = (0..1000)
        .map(|n| scene.route("c", &n.to_string()))
        .collect();
    assert_eq!(before, after);
    // The order of declarations does not matter: a restart has another.
    let other = Scene::new(&[("c", "consistent-hash")]);
    for (queue, weight) in [("c", "2"), ("b", "1"), ("a", "1")] {
        other.bind("c", queue, weight);
    }
    let there: Vec<_> = (0..1000)
        .map(|n| other.route("c", &n.to_string()))
        .collect();
    assert_eq!(before, there);
    // Nor may another release choose otherwise.
    assert_eq!(before[..4], [["b"], ["a"], ["c"], ["c"]]);
    for weight in ["", "0", "-1", "1.5", "1000001"] {
        let binding = Binding {
            source: "c".to_owned(),
            destination: Destination::Queue("q".to_owned()),
            key: weight.to_owned(),
            arguments: BTreeMap::new(),
        };
        assert!(
            scene.space.get("c").unwrap().check(&binding).is_err(),
            "{weight}"
        );
    }
}

#[test]
fn a_consistent_hash_of_a_header() {
    let scene = Scene::new(&[]);
    let kind = ExchangeKind::ConsistentHash(HashBy::Header("user".to_owned()));
    scene.add("c", ExchangeSettings::durable(kind));
    for queue in ["a", "b", "c", "d"] {
        scene.bind("c", queue, "1");
    }
    let of = |key: &str, user: Match| scene.ask("c", &[key], &arguments([("user", user)]));
    let same = of("k", Match::Int(7));
    assert!((0..50).all(|n| of(&n.to_string(), Match::Int(7)) == same));
    let all: std::collections::BTreeSet<_> = (0..50).map(|n| of("k", Match::Int(n))).collect();
    assert_eq!(all.len(), 4);
    assert_eq!(scene.route("c", "k").len(), 1, "without the header too");
}

#[test]
fn modulus_and_random_choose_one() {
    let scene = Scene::new(&[("m", "modulus-hash"), ("r", "random")]);
    assert_eq!(scene.route("m", "k"), [""; 0]);
    assert_eq!(scene.route("r", "k"), [""; 0]);
    for queue in ["d", "b", "a", "c"] {
        scene.bind("m", queue, "");
        scene.bind("r", queue, "");
    }
    let shares = shares(&scene, "m");
    assert!(
        shares.len() == 4 && shares.values().all(|n| n.abs_diff(2500) < 250),
        "{shares:?}"
    );
    assert_eq!(scene.route("m", "k"), scene.route("m", "k"));
    let mut drawn: Vec<_> = (0..4).flat_map(|_| scene.route("r", "k")).collect();
    drawn.sort_unstable();
    assert_eq!(drawn, ["a", "b", "c", "d"], "as the generator says");
}

#[test]
fn routing_goes_on_while_bindings_come_and_go() {
    let scene = Scene::new(&[("t", "topic"), ("f", "fanout")]);
    scene.bind("t", "stays", "a.#");
    scene.chain("f", "t", "");
    let space = &scene.space;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let source = space.get("t").unwrap();
            for n in 0..4_000 {
                let target = Target::Queue(Arc::from("q"), id("q"));
                let key = format!("a.#.{}", n % 7);
                let bound = Scene::bound("t", target, &key, BTreeMap::new());
                space.bind(&source, &bound);
                let leaving = space.leaving(vec![bound], Vec::new());
                space.remove(&leaving);
            }
        });
        for n in 0..4_000 {
            let key = [Bytes::from(format!("a.b.{}", n % 7))];
            let found = space.route("f", &key, &|_| None, &|| 0).unwrap();
            assert!(found.iter().any(|(name, _)| **name == *"stays"));
        }
    });
    assert_eq!(space.bindings(), 2);
    assert_eq!(scene.route("f", "a.b.1"), ["stays"]);
}
