//! Listeners: limits, drain, addresses, over loopback.

use base::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config::Limits;
use crate::drive::tests::toy::{Toy, frame};

pub(crate) fn parts() -> Parts {
    Parts {
        clock: Clock::system(),
        ledger: Ledger::new(64 << 20),
        tasks: Tasks::current(),
        metrics: Metrics::new(&base::Metrics::default()),
    }
}

async fn echo(peer: &mut TcpStream, body: &[u8]) -> std::io::Result<Vec<u8>> {
    peer.write_all(&frame(0, b'e', body)).await?;
    let mut reply = vec![0; peer.read_u32().await? as usize];
    peer.read_exact(&mut reply).await?;
    Ok(reply)
}

#[tokio::test]
async fn listens_at_a_free_port_or_not_at_all() {
    let net = Net::new(parts());
    let listener = net
        .listen(Toy::default(), &Config::at("localhost:0"))
        .await
        .unwrap()
        .unwrap();
    assert_ne!(listener.addr().port(), 0);
    assert_eq!(listener.name(), "toy");
    let mut peer = TcpStream::connect(listener.addr()).await.unwrap();
    assert_eq!(echo(&mut peer, b"hello").await.unwrap(), b"hello");
    assert!(
        net.listen(Toy::default(), &Config::at("off"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        net.listen(Toy::default(), &Config::default())
            .await
            .unwrap()
            .is_none()
    );
    let taken = net
        .listen(Toy::default(), &Config::at(&listener.addr().to_string()))
        .await;
    assert!(matches!(taken, Err(Error::Bind { .. })));
    let wrong = net.listen(Toy::default(), &Config::at("no port")).await;
    assert!(matches!(wrong, Err(Error::Resolve { .. })));
}

#[tokio::test]
async fn closes_connections_over_the_limit_at_once() {
    let registry = base::Metrics::default();
    let parts = Parts {
        metrics: Metrics::new(&registry),
        ..parts()
    };
    let net = Net::new(parts);
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::at("127.0.0.1:0")
    };
    let listener = net.listen(Toy::default(), &config).await.unwrap().unwrap();
    let mut first = TcpStream::connect(listener.addr()).await.unwrap();
    let mut second = TcpStream::connect(listener.addr()).await.unwrap();
    assert_eq!(echo(&mut first, b"1").await.unwrap(), b"1");
    assert_eq!(echo(&mut second, b"2").await.unwrap(), b"2");
    let mut third = TcpStream::connect(listener.addr()).await.unwrap();
    assert!(echo(&mut third, b"3").await.is_err());
    assert_eq!(net.connections(), 2);
    let text = registry.encode().unwrap();
    let refused = "stentor_net_connections_refused_total{head=\"toy\",reason=\"total\"} 1";
    assert!(text.contains(refused), "{text}");
}

#[tokio::test]
async fn a_drain_ends_idle_connections_and_stops_accepting() {
    let net = Net::new(parts());
    let config = Config {
        limits: Limits {
            drain_max: Millis(1_000),
            ..Limits::default()
        },
        ..Config::at("127.0.0.1:0")
    };
    let listener = net.listen(Toy::default(), &config).await.unwrap().unwrap();
    let mut peer = TcpStream::connect(listener.addr()).await.unwrap();
    assert_eq!(echo(&mut peer, b"1").await.unwrap(), b"1");
    let waiting = async {
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        drop(peer);
        rest
    };
    let (left, rest) = tokio::join!(net.drain(Duration::from_secs(10)), waiting);
    assert_eq!((left, &rest[..]), (0, &b"bye drain"[..]));
    assert!(TcpStream::connect(listener.addr()).await.is_err());
}

#[tokio::test]
async fn the_shutdown_of_the_tasks_drains_too() {
    let parts = parts();
    let tasks = parts.tasks.clone();
    let net = Net::new(parts);
    let listener = net
        .listen(Toy::default(), &Config::at("127.0.0.1:0"))
        .await
        .unwrap()
        .unwrap();
    let mut peer = TcpStream::connect(listener.addr()).await.unwrap();
    assert_eq!(echo(&mut peer, b"1").await.unwrap(), b"1");
    drop(peer);
    assert_eq!(tasks.shut_down(Duration::from_secs(10)).await, 0);
}
