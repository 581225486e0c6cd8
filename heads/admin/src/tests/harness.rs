//! A server over a folder of its own, and a client of it.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ledger, Metrics, Rng, Tasks};
use broker::Broker;
use broker::message::Message;
use broker::queue::Queue;
use bytes::Bytes;
use net::http::{Client, HeaderMap, HeaderValue, HttpConfig, Method, header};
use net::{Listener, Net};
use serde_json::Value;
use store::{FileDisk, Store};

use crate::{Admin, Config, Parts};

const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Server {
    pub(super) broker: Broker,
    client: Client,
    tasks: Tasks,
    net: Net,
    listener: Listener,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Lists have pages of two.
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, rng) = (Clock::system(), Rng::seeded(7));
        let (tasks, metrics) = (Tasks::current(), Metrics::default());
        let ledger = Ledger::new(256 << 20);
        let parts = store::Parts {
            disk: Arc::new(FileDisk::new(folder.path()).unwrap()),
            clock: clock.clone(),
            ledger: ledger.clone(),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
        };
        let broker = Broker::open(broker::Parts {
            store: Store::open(store::Config::default(), parts).unwrap(),
            meta: meta::Meta::open(&folder.path().join("meta"), rng.clone()).unwrap(),
            clock: clock.clone(),
            rng,
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            config: broker::Config::default(),
            exchanges: broker::exchange::Config::default(),
            queues: broker::queue::Config::default(),
            groups: broker::group::Config {
                offsets_partitions: 1,
                ..broker::group::Config::default()
            },
        })
        .unwrap();
        let net = Net::new(net::Parts {
            clock,
            ledger,
            tasks: tasks.clone(),
            metrics: net::Metrics::new(&metrics),
        });
        let config = Config {
            list_max: 2,
            ..Config::default()
        };
        let routes = Admin::new(Parts {
            config,
            token: None,
            broker: broker.clone(),
            metrics,
        })
        .routes();
        let at = net::Config::at("127.0.0.1:0");
        let http = HttpConfig::default();
        let listener = net.serve_http("http", routes, &at, &http);
        let listener = listener.await.unwrap().unwrap();
        let url = format!("http://{}", listener.addr());
        Self {
            client: Client::new(&url, None, tasks.clone(), TIMEOUT).unwrap(),
            broker,
            tasks,
            net,
            listener,
            _folder: folder,
        }
    }

    /// Asks, with a body where one is given: the status, and the answer as JSON.
    pub(super) async fn ask(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = self.client.request(method, path, headers, body);
        let answer = answer.await.unwrap();
        let status = answer.status.as_u16();
        let body = answer.bytes().await.unwrap();
        let shown = String::from_utf8_lossy(&body).into_owned();
        (
            status,
            serde_json::from_slice(&body).unwrap_or(Value::String(shown)),
        )
    }

    pub(super) async fn get(&mut self, path: &str) -> (u16, Value) {
        self.ask("GET", path, Value::Null).await
    }

    /// A queue of the default namespace with these messages.
    pub(super) async fn queue(&mut self, name: &str, texts: &[&str]) -> Queue {
        let queues = self.broker.queues();
        let declared = queues.declare("/", name, Default::default()).await;
        let queue = declared.unwrap().queue;
        let messages = texts.iter().map(|text| Message {
            key: Some(Bytes::from_static(b"key")),
            value: Bytes::from((*text).to_owned()),
            ..Message::default()
        });
        let published = queue.publish(messages.collect()).unwrap();
        published.durable().await.unwrap();
        queue
    }

    pub(super) async fn stop(self) {
        let Self {
            broker,
            client,
            tasks,
            net,
            listener,
            ..
        } = self;
        drop(client);
        assert_eq!(net.drain(TIMEOUT).await, 0);
        drop((listener, net));
        broker.close().await.unwrap();
        broker.release();
        drop(broker);
        assert_eq!(tasks.shut_down(TIMEOUT).await, 0);
        tasks.join_threads();
    }
}
