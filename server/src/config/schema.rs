//! Which keys there are: read from the source of the structs that hold them.
//!
//! The sources are compiled in as text. A key's name, type and meaning are its field's name, type
//! and doc comment; its default is what the struct's own `Default` serialises to. So nothing is
//! written twice. The reader below understands the plain structs that configuration is made of,
//! and a test fails on one that it does not.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use super::{General, Log, Memory};

const HERE: &str = include_str!("../config.rs");
const STORE: &str = include_str!("../../../crates/store/src/config.rs");
const TOPICS: &str = include_str!("../../../crates/broker/src/config.rs");
const GROUPS: &str = include_str!("../../../crates/broker/src/group/config.rs");
const EXCHANGES: &str = include_str!("../../../crates/broker/src/exchange/config.rs");
const QUEUES: &str = include_str!("../../../crates/broker/src/queue/config.rs");
const NET: &str = include_str!("../../../crates/net/src/config.rs");
const HTTP: &str = include_str!("../../../crates/net/src/http.rs");
const KAFKA: &str = include_str!("../../../heads/kafka/src/config.rs");
const SQS: &str = include_str!("../../../heads/sqs/src/config.rs");
const AMQP: &str = include_str!("../../../heads/amqp/src/config.rs");
const ADMIN: &str = include_str!("../../../heads/admin/src/config.rs");

/// A section: its name, what it is about, and the structs that make it up.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    structs: &'static [(&'static str, &'static str)],
    default: fn() -> Table,
}

/// Where heads listen when nobody says.
pub(crate) const KAFKA_LISTEN: &str = "127.0.0.1:9092";
pub(crate) const SQS_LISTEN: &str = "127.0.0.1:9324";
pub(crate) const AMQP_LISTEN: &str = "127.0.0.1:5672";
pub(crate) const HTTP_LISTEN: &str = "127.0.0.1:8080";

/// All sections, in the order of the example file.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        name: "",
        about: "",
        structs: &[(HERE, "General")],
        default: table::<General>,
    },
    Section {
        name: "log",
        about: "What the server says about itself, on standard error.",
        structs: &[(HERE, "Log")],
        default: table::<Log>,
    },
    Section {
        name: "memory",
        about: "The one number that bounds memory.",
        structs: &[(HERE, "Memory")],
        default: table::<Memory>,
    },
    Section {
        name: "store",
        about: "The durable log.",
        structs: &[(STORE, "Config")],
        default: table::<store::Config>,
    },
    Section {
        name: "topics",
        about: "Topics in general. What is configured per topic: `stentor config keys`.",
        structs: &[(TOPICS, "Config")],
        default: table::<broker::Config>,
    },
    Section {
        name: "groups",
        about: "Consumer groups.",
        structs: &[(GROUPS, "Config")],
        default: table::<broker::group::Config>,
    },
    Section {
        name: "exchanges",
        about: "Namespaces, exchanges and their bindings.",
        structs: &[(EXCHANGES, "Config")],
        default: table::<broker::exchange::Config>,
    },
    Section {
        name: "queues",
        about: "Queues.",
        structs: &[(QUEUES, "Config")],
        default: table::<broker::queue::Config>,
    },
    Section {
        name: "kafka",
        about: "Kafka's protocol, for its unchanged clients.",
        structs: &[(NET, "Config"), (KAFKA, "Config")],
        default: || listening(KAFKA_LISTEN, &[table::<head_kafka::Config>()]),
    },
    Section {
        name: "amqp",
        about: "AMQP 0-9-1 with RabbitMQ's extensions, for its unchanged clients.",
        structs: &[(NET, "Config"), (AMQP, "Config")],
        default: amqp,
    },
    Section {
        name: "sqs",
        about: "Amazon SQS, for its unchanged SDKs.",
        structs: &[(NET, "Config"), (HTTP, "HttpConfig"), (SQS, "Config")],
        default: || {
            listening(
                SQS_LISTEN,
                &[
                    table::<net::http::HttpConfig>(),
                    table::<head_sqs::Config>(),
                ],
            )
        },
    },
    Section {
        name: "http",
        about: "The HTTP API, /healthz, /readyz and /metrics.",
        structs: &[(NET, "Config"), (HTTP, "HttpConfig"), (ADMIN, "Config")],
        default: || {
            listening(
                HTTP_LISTEN,
                &[
                    table::<net::http::HttpConfig>(),
                    table::<head_admin::Config>(),
                ],
            )
        },
    },
];

/// A key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Its field's type, without `Option`.
    pub(crate) kind: &'static str,
    /// Whether it may be left out.
    pub(crate) optional: bool,
    /// What it means.
    pub(crate) doc: Vec<&'static str>,
    /// Its value when nobody sets one.
    pub(crate) default: Option<Value>,
}

impl Key {
    /// Whether it holds further keys, chosen by the operator.
    pub(crate) fn is_map(&self) -> bool {
        self.kind.starts_with("BTreeMap<")
    }
}

/// All keys by their dotted names, each section in the order of its struct.
pub(crate) struct Schema {
    pub(crate) keys: BTreeMap<String, Key>,
    /// The names in the order of the sources.
    pub(crate) order: Vec<String>,
}

fn table<T: Default + Serialize>() -> Table {
    // Structs of numbers, texts and lists always make a table.
    Table::try_from(T::default()).unwrap_or_default()
}

fn listening(listen: &str, own: &[Table]) -> Table {
    let mut all = Table::try_from(net::Config::at(listen)).unwrap_or_default();
    for table in own {
        all.extend(table.clone());
    }
    all
}

/// Section `[amqp]`: who is idle there says so by heartbeats, and may be idle for ever without.
fn amqp() -> Table {
    let mut all = listening(AMQP_LISTEN, &[table::<head_amqp::Config>()]);
    if let Some(Value::Table(limits)) = all.get_mut("limits") {
        limits.insert("idle_max".to_owned(), Value::from("0ms"));
    }
    all
}

impl Schema {
    pub(crate) fn read() -> Self {
        let mut schema = Self {
            keys: BTreeMap::new(),
            order: Vec::new(),
        };
        for section in SECTIONS {
            let defaults = (section.default)();
            for (source, name) in section.structs {
                schema.add(section.name, source, name, Some(&defaults));
            }
        }
        schema
    }

    fn add(&mut self, prefix: &str, source: &'static str, name: &str, defaults: Option<&Table>) {
        for field in fields(source, name) {
            let path = join(prefix, field.name);
            let default = defaults.and_then(|table| table.get(field.name));
            let (kind, optional) = match field.kind.strip_prefix("Option<") {
                Some(inner) => (inner.trim_end_matches('>'), true),
                None => (field.kind, false),
            };
            // A struct of the same file is a table of its own: `tls`, `limits`.
            if !fields(source, kind).is_empty() {
                self.add(&path, source, kind, default.and_then(Value::as_table));
                continue;
            }
            let default = default.cloned();
            self.order.push(path.clone());
            self.keys.insert(
                path,
                Key {
                    kind,
                    optional,
                    doc: field.doc,
                    default,
                },
            );
        }
    }

    /// The map, such as `topics.defaults`, that holds the key called `path`.
    pub(crate) fn map_of<'a>(&'a self, path: &str) -> Option<(&'a str, &'a Key)> {
        self.keys
            .iter()
            .filter(|(_, key)| key.is_map())
            .find_map(|(name, key)| {
                let inner = path.strip_prefix(name.as_str())?.strip_prefix('.')?;
                (!inner.is_empty()).then_some((name.as_str(), key))
            })
    }
}

pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

struct Field {
    name: &'static str,
    kind: &'static str,
    doc: Vec<&'static str>,
}

/// The fields of `pub struct NAME { .. }` in `source`; none when there is no such struct.
fn fields(source: &'static str, name: &str) -> Vec<Field> {
    let is_head = |line: &&str| {
        let line = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        line.strip_prefix("struct ")
            .and_then(|rest| rest.strip_suffix(" {"))
            == Some(name)
    };
    let mut lines = source.lines().skip_while(|line| !is_head(line)).skip(1);
    let mut found = Vec::new();
    let mut doc = Vec::new();
    for line in lines
        .by_ref()
        .take_while(|line| *line != "}")
        .map(str::trim)
    {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
            continue;
        }
        let field = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        let Some((name, kind)) = field.split_once(": ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        found.push(Field {
            name,
            kind: kind.trim_end_matches(','),
            doc: std::mem::take(&mut doc),
        });
    }
    found
}
