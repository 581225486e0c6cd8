//! The admin calls of every client that has some: topics, settings, groups, offsets, records. And
//! what an operator does with queues and exchanges, by the commands.
//!
//! The client programs check the answers themselves, by what their own library makes of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Client, Kind};
use crate::server::{Server, required};

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

/// Runs a command against the server: its exit code, and what it printed as JSON.
fn command(server: &Server, arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(required("STENTOR_BIN"))
        .args(arguments)
        .arg("--json")
        .env("STENTOR_SERVER", format!("http://{}", server.http))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let answer = serde_json::from_str(&printed).unwrap_or_default();
    (output.status.code().unwrap(), answer)
}

/// One call of SQS's JSON protocol.
fn sqs(server: &Server, action: &str, body: &Value) -> Value {
    let mut socket = TcpStream::connect(server.sqs).unwrap();
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         x-amz-target: AmazonSQS.{action}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{action}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_default()
}

/// What an operator does to a queue that SQS's clients use.
#[test]
fn queues_and_exchanges_are_kept_by_commands() {
    const GONE: i32 = 21;
    const REFUSED: i32 = 22;
    let server = Server::start();
    let run = |line: &str| command(&server, &line.split(' ').collect::<Vec<_>>());
    let (code, made) = run("queue create orders --lease 30s --delivery-limit 5");
    assert_eq!(
        (code, &made["settings"]["lease_ms"]),
        (0, &json!(30_000)),
        "{made}"
    );
    assert_eq!(run("queue create orders --lease 31s").0, REFUSED);
    assert_eq!(run("exchange create events --kind topic").0, 0);
    assert_eq!(
        run("exchange bind events --queue orders --key order.*").0,
        0
    );

    let url = sqs(&server, "GetQueueUrl", &json!({ "QueueName": "orders" }));
    let url = &url["QueueUrl"];
    for text in ["one", "two", "three"] {
        let body = json!({ "QueueUrl": url, "MessageBody": text });
        sqs(&server, "SendMessage", &body);
    }
    let received = sqs(&server, "ReceiveMessage", &json!({ "QueueUrl": url }));
    assert_eq!(received["Messages"][0]["Body"], "one");

    let (code, listed) = run("queue list --namespace /");
    let queues = listed["queues"].as_array().unwrap();
    let queue = queues.iter().find(|queue| queue["name"] == "orders");
    let queue = queue.unwrap();
    let counts = ["ready", "leased", "delayed"].map(|name| &queue[name]);
    assert_eq!(
        (code, counts),
        (0, [&json!(2), &json!(1), &json!(0)]),
        "{queue}"
    );
    let (_, seen) = run("queue peek orders -n 5");
    let seen = seen["messages"].as_array().unwrap().iter();
    let texts: Vec<_> = seen.map(|message| message["value"].clone()).collect();
    assert_eq!(texts, ["two", "three"]);
    let (_, described) = run("queue describe orders");
    assert_eq!(described["bindings"][0]["source"], "events", "{described}");

    assert_eq!(
        run("queue purge orders --yes"),
        (0, json!({ "messages": 2 }))
    );
    let received = sqs(&server, "ReceiveMessage", &json!({ "QueueUrl": url }));
    assert!(
        received["Messages"].as_array().is_none_or(Vec::is_empty),
        "{received}"
    );
    assert_eq!(run("exchange delete events --if-unused --yes").0, REFUSED);
    assert_eq!(
        run("exchange unbind events --queue orders --key order.*").0,
        0
    );
    assert_eq!(run("exchange delete events --if-unused --yes").0, 0);
    assert_eq!(run("exchange describe events").0, GONE);
    assert_eq!(run("queue delete orders --if-unused --if-empty --yes").0, 0);
    assert_eq!(run("queue describe orders").0, GONE);
}
