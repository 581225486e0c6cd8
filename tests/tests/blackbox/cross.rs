//! What one protocol publishes another consumes: every ordered pair of Kafka, AMQP and SQS, as
//! docs/protocols/mapping.md says.

use std::path::Path;
use std::process::Command;

use crate::client::{installed, report};
use crate::server::Server;

#[test]
fn what_one_protocol_publishes_the_others_consume() {
    let server = Server::start();
    report("across protocols", "9 pairs, binary, properties");
    let mut command = Command::new(installed().join("cross/bin/python"));
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/cross/cross.py"))
        .arg(server.kafka.to_string())
        .arg(server.amqp.port().to_string())
        .arg(format!("http://{}", server.sqs));
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{complained}");
    let done = printed.lines().filter(|line| line.starts_with("done "));
    assert_eq!(done.count(), 11, "{printed}");
}
