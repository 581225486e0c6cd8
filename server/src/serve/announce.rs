//! The one table that a start prints: protocol, address, an example.

use std::net::SocketAddr;
use std::time::Duration;

use net::Listener;

use crate::out;

/// A row.
struct Row {
    name: &'static str,
    address: String,
    example: String,
}

pub(super) fn print(listeners: &[Listener], took: Duration) -> std::io::Result<()> {
    let rows = listeners.iter().map(|listener| {
        let (addr, tls) = (listener.addr(), listener.tls().is_some());
        Row {
            name: listener.name(),
            address: format!("{addr}{}", if tls { " (TLS)" } else { "" }),
            example: example(listener.name(), addr, tls),
        }
    });
    let rows: Vec<Row> = rows.collect();
    let table = rows
        .iter()
        .map(|row| [row.name, &row.address, &row.example]);
    out::table(&["PROTOCOL", "ADDRESS", "TRY"], table)?;
    out::line(format_args!(
        "stentor {} is ready after {} ms",
        env!("CARGO_PKG_VERSION"),
        took.as_millis()
    ))
}

/// Where a client on this machine reaches `addr`.
fn reachable(addr: SocketAddr) -> String {
    if !addr.ip().is_unspecified() {
        return addr.to_string();
    }
    let host = if addr.is_ipv6() { "[::1]" } else { "127.0.0.1" };
    format!("{host}:{}", addr.port())
}

fn example(name: &str, addr: SocketAddr, tls: bool) -> String {
    let addr = reachable(addr);
    match (name, tls) {
        ("kafka", false) => format!("echo hello | kcat -b {addr} -t greetings -P"),
        ("kafka", true) => {
            format!("echo hello | kcat -b {addr} -X security.protocol=ssl -t greetings -P")
        }
        ("amqp", false) => format!("amqp-publish -u amqp://{addr} -r greetings -b hello"),
        ("amqp", true) => format!("amqp-publish -u amqps://{addr} -r greetings -b hello"),
        ("http", false) => format!("curl http://{addr}/v1/topics"),
        ("sqs", tls) => {
            let scheme = if tls { "https" } else { "http" };
            format!("aws sqs list-queues --region us-east-1 --endpoint-url {scheme}://{addr}")
        }
        ("http", true) => format!("curl https://{addr}/v1/topics"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_name_an_address_that_can_be_reached() {
        let wild: SocketAddr = ([0, 0, 0, 0], 9092).into();
        assert_eq!(reachable(wild), "127.0.0.1:9092");
        assert!(example("http", wild, false).contains("http://127.0.0.1:9092/"));
    }
}
