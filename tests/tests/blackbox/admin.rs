//! The admin calls of every client that has some: topics, settings, groups, offsets, records.
//!
//! The client programs check the answers themselves, by what their own library makes of them.

use serde_json::json;

use crate::client::{Client, Kind};
use crate::server::Server;

/// Each client with the number of steps that it has to report.
const CLIENTS: &[(Kind, usize)] = &[
    (Kind::Confluent, 16),
    (Kind::Kcat, 6),
    (Kind::KafkaJs, 16),
    (Kind::KafkaPython, 15),
    (Kind::Aiokafka, 7),
    (Kind::Java, 19),
    (Kind::Franz, 16),
    (Kind::Sarama, 13),
];

#[test]
fn every_admin_client_works() {
    let server = Server::start();
    for &(kind, wanted) in CLIENTS {
        let name = format!("{kind:?}").to_lowercase();
        let options = json!({
            "bootstrap": server.kafka.to_string(),
            "topic": format!("administered-by-{name}"),
            "group": format!("admin-{name}"),
        });
        let events = Client::start(kind, "admin", &options).end();
        let steps: Vec<_> = events
            .iter()
            .filter(|event| event["e"] == "admin")
            .collect();
        let failed: Vec<_> = steps.iter().filter(|step| step["ok"] != true).collect();
        assert!(failed.is_empty(), "{kind:?}: {failed:#?}");
        assert_eq!(steps.len(), wanted, "{kind:?} did not take all its steps");
    }
}
