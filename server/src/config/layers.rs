//! Layers of values, each with its origin, and the structs that come out of them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::nearest::nearest;
use super::schema::{Key, Schema, join};
use super::{Amqp, Config, ConfigError, Http, Kafka, Sqs};

/// The file that is read when nobody names one.
pub(crate) const DEFAULT_FILE: &str = "stentor.toml";
/// How every variable begins.
pub(crate) const ENV_PREFIX: &str = "STENTOR__";
/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// The file.
    File(PathBuf),
    /// The environment variable.
    Env(String),
    /// `--set`.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Argument => f.write_str("--set"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What the layers are made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// `--config`; the default file is read only when it exists.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) env: Vec<(String, String)>,
    /// `--set section.key=value`.
    pub(crate) set: Vec<String>,
}

/// The configuration and where each value comes from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// A path of a key that is known: the dotted name of the key, and the rest if the key is a map.
struct Place {
    name: String,
    inner: Option<String>,
}

impl Layers {
    /// Reads everything, checks every name and value.
    pub(crate) fn load(&self) -> Result<Loaded, ConfigError> {
        let schema = Schema::read();
        let mut merged = Merged {
            schema: &schema,
            entries: BTreeMap::new(),
        };
        merged.defaults();
        match &self.file {
            Some(path) => merged.file(path)?,
            None if Path::new(DEFAULT_FILE).exists() => merged.file(Path::new(DEFAULT_FILE))?,
            None => {}
        }
        for (name, value) in &self.env {
            merged.env(name, value)?;
        }
        for set in &self.set {
            merged.argument(set)?;
        }
        let config = merged.config()?;
        config.validate()?;
        Ok(Loaded {
            config,
            entries: merged.entries,
        })
    }
}

struct Merged<'a> {
    schema: &'a Schema,
    entries: BTreeMap<String, Entry>,
}

impl Merged<'_> {
    fn defaults(&mut self) {
        for (name, key) in &self.schema.keys {
            let Some(value) = key.default.clone() else {
                continue;
            };
            if key.is_map() {
                continue;
            }
            self.entries.insert(
                name.clone(),
                Entry {
                    value,
                    origin: Origin::Default,
                },
            );
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let shown = path.display();
        let text = read_text(path)?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            ConfigError(format!(
                "{shown} is not TOML: {}",
                error.to_string().trim_end()
            ))
        })?;
        self.table("", &table, &Origin::File(path.to_owned()))
    }

    fn table(&mut self, prefix: &str, table: &Table, origin: &Origin) -> Result<(), ConfigError> {
        for (name, value) in table {
            let path = join(prefix, name);
            let is_leaf = self.schema.keys.get(&path).is_some_and(|key| !key.is_map());
            if let Value::Table(inner) = value
                && !is_leaf
            {
                self.table(&path, inner, origin)?;
                continue;
            }
            let place = self.place(&path, origin)?;
            self.put(place, value.clone(), origin.clone());
        }
        Ok(())
    }

    /// `STENTOR__SECTION__KEY`. In a map's key `_` stands for `.`.
    fn env(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let Some(path) = name.strip_prefix(ENV_PREFIX) else {
            return Ok(());
        };
        let mut path = path.to_lowercase().replace("__", ".");
        let map = self.schema.map_of(&path).map(|(map, _)| map.len());
        if let Some(at) = map {
            let inner = path.split_off(at);
            path.push_str(&inner.replace('_', "."));
        }
        let origin = Origin::Env(name.to_owned());
        let place = self.place(&path, &origin)?;
        let value = self.parse(&place, text, &origin)?;
        self.put(place, value, origin);
        Ok(())
    }

    fn argument(&mut self, set: &str) -> Result<(), ConfigError> {
        let Some((path, text)) = set.split_once('=') else {
            return Err(ConfigError(format!(
                "--set {set}: write it as --set section.key=value"
            )));
        };
        let place = self.place(path.trim(), &Origin::Argument)?;
        let value = self.parse(&place, text, &Origin::Argument)?;
        self.put(place, value, Origin::Argument);
        Ok(())
    }

    /// Finds the key that `path` names.
    fn place(&self, path: &str, origin: &Origin) -> Result<Place, ConfigError> {
        if self.schema.keys.get(path).is_some_and(|key| !key.is_map()) {
            return Ok(Place {
                name: path.to_owned(),
                inner: None,
            });
        }
        if let Some((map, _)) = self.schema.map_of(path) {
            let inner = path.get(map.len() + 1..).map(str::to_owned);
            return Ok(Place {
                name: map.to_owned(),
                inner,
            });
        }
        let names = self.schema.keys.keys().map(String::as_str);
        let hint = match nearest(path, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "`stentor config example` shows every key".to_owned(),
        };
        Err(ConfigError(format!(
            "there is no key `{path}` ({origin}): {hint}"
        )))
    }

    /// A value that came as text, by the type of its key.
    fn parse(&self, place: &Place, text: &str, origin: &Origin) -> Result<Value, ConfigError> {
        let key = self.schema.keys.get(&place.name);
        let kind = key.map_or("String", |key: &Key| key.kind);
        if place.inner.is_some()
            || matches!(kind, "String" | "PathBuf" | "Listen" | "Format" | "Auth")
        {
            return Ok(Value::String(text.to_owned()));
        }
        if kind.starts_with("Vec<") && !text.trim_start().starts_with('[') {
            let words = text
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty());
            return Ok(Value::Array(
                words.map(|word| Value::String(word.to_owned())).collect(),
            ));
        }
        let wrong = || {
            ConfigError(format!(
                "{} = {text} ({origin}) is not {}",
                place.name,
                kind_words(kind)
            ))
        };
        match kind {
            "ByteSize" | "Millis" => Ok(Value::String(text.to_owned())),
            "bool" => text.trim().parse().map(Value::Boolean).map_err(|_| wrong()),
            "f64" => text.trim().parse().map(Value::Float).map_err(|_| wrong()),
            kind if kind.starts_with("Vec<") => {
                let table: Table = format!("v = {text}").parse().map_err(|_| wrong())?;
                table.get("v").cloned().ok_or_else(wrong)
            }
            _ => text.trim().parse().map(Value::Integer).map_err(|_| wrong()),
        }
    }

    fn put(&mut self, place: Place, value: Value, origin: Origin) {
        let (name, value) = match place.inner {
            None => (place.name, value),
            // A map holds texts: a number means its digits.
            Some(inner) => {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (join(&place.name, &inner), Value::String(text))
            }
        };
        self.entries.insert(name, Entry { value, origin });
    }

    /// The section called `name` with its tables, as the structs read it.
    fn section(&self, name: &str) -> Table {
        let mut section = Table::new();
        for (path, entry) in &self.entries {
            let inner = if name.is_empty() {
                (!path.contains('.')).then_some(path.as_str())
            } else {
                path.strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('.'))
            };
            let Some(inner) = inner else { continue };
            // A map's keys hold dots of their own.
            let map = self.schema.map_of(path).map(|(map, _)| map.len() + 1);
            let tables_end = map.map(|end| end - (path.len() - inner.len()));
            insert(
                &mut section,
                inner,
                tables_end.unwrap_or(inner.len()),
                &entry.value,
            );
        }
        section
    }

    fn read<T: DeserializeOwned>(&self, name: &str, table: Table) -> Result<T, ConfigError> {
        T::deserialize(Value::Table(table)).map_err(|error| self.explain(name, &error))
    }

    /// What is wrong, and who set it.
    fn explain(&self, section: &str, error: &toml::de::Error) -> ConfigError {
        let message = error.message().to_owned();
        // The library names the key on a line of its own.
        let shown = error.to_string();
        let key = shown
            .lines()
            .find_map(|line| line.trim().strip_prefix("in `")?.strip_suffix('`'));
        let path = key.map(|key| join(section, key));
        let entry = path.as_ref().and_then(|path| self.entries.get(path));
        match (path, entry) {
            (Some(path), Some(entry)) => ConfigError(format!(
                "{path} = {} ({}): {message}",
                entry.value, entry.origin
            )),
            _ => ConfigError(format!("section [{section}]: {message}")),
        }
    }

    fn config(&self) -> Result<Config, ConfigError> {
        let mut http = self.section("http");
        let listener = take(&mut http, &net::Config::KEYS);
        let own = take(&mut http, &HTTP_KEYS);
        let mut sqs = self.section("sqs");
        let sqs_listener = take(&mut sqs, &net::Config::KEYS);
        let sqs_http = take(&mut sqs, &HTTP_KEYS);
        let mut kafka = self.section("kafka");
        let kafka_listener = take(&mut kafka, &net::Config::KEYS);
        let mut amqp = self.section("amqp");
        let amqp_listener = take(&mut amqp, &net::Config::KEYS);
        Ok(Config {
            general: self.read("", self.section(""))?,
            log: self.read("log", self.section("log"))?,
            memory: self.read("memory", self.section("memory"))?,
            store: self.read("store", self.section("store"))?,
            topics: self.read("topics", self.section("topics"))?,
            groups: self.read("groups", self.section("groups"))?,
            exchanges: self.read("exchanges", self.section("exchanges"))?,
            queues: self.read("queues", self.section("queues"))?,
            kafka: Kafka {
                listener: self.read("kafka", kafka_listener)?,
                head: self.read("kafka", kafka)?,
            },
            amqp: Amqp {
                listener: self.read("amqp", amqp_listener)?,
                head: self.read("amqp", amqp)?,
            },
            http: Http {
                listener: self.read("http", listener)?,
                http: self.read("http", own)?,
                head: self.read("http", http)?,
            },
            sqs: Sqs {
                listener: self.read("sqs", sqs_listener)?,
                http: self.read("sqs", sqs_http)?,
                head: self.read("sqs", sqs)?,
            },
        })
    }
}

/// The keys of `net::http::HttpConfig`; a test compares.
pub(super) const HTTP_KEYS: [&str; 5] = [
    "body_bytes_max",
    "header_bytes_max",
    "memory_max",
    "headers_max",
    "header_time_max",
];

fn take(from: &mut Table, keys: &[&str]) -> Table {
    keys.iter()
        .filter_map(|key| from.remove_entry(*key))
        .collect()
}

/// Puts `value` at `path`, whose dots are tables as far as `tables_end`.
fn insert(table: &mut Table, path: &str, tables_end: usize, value: &Value) {
    match path
        .split_once('.')
        .filter(|(name, _)| name.len() < tables_end)
    {
        None => {
            table.insert(path.to_owned(), value.clone());
        }
        Some((name, rest)) => {
            let inner = table
                .entry(name)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, tables_end - name.len() - 1, value);
            }
        }
    }
}

fn kind_words(kind: &str) -> &'static str {
    match kind {
        "bool" => "true or false",
        "f64" => "a number",
        kind if kind.starts_with("Vec<") => "a list",
        _ => "a whole number",
    }
}

/// A file's text, capped.
#[expect(
    clippy::disallowed_methods,
    reason = "configuration is read before there is a store, and capped"
)]
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let fails =
        |error: std::io::Error| ConfigError(format!("cannot read {}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(fails)?;
    let mut text = String::new();
    let read = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(fails)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(ConfigError(format!(
            "{} is larger than 1 MiB",
            path.display()
        )));
    }
    Ok(text)
}
