//! Pipelined echo requests against the drive, over loopback TCP.
//!
//! `cargo run --release -p stentor-net --example echo_bench -- [connections] [depth] [bytes]
//! [seconds]` (4 64 100 5) prints requests per second and the CPU time of the server's threads
//! per request. Client threads run in the same process and compete for the same cores; their time
//! is not counted.
//!
//! `… echo_bench -- idle 10000` opens that many connections, uses each once, and prints the
//! resident memory per idle connection, both ends' sockets and the server's tasks together.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base::{Clock, Ledger, Tasks};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::stream;
use net::{Close, Config, Head, Lane, Metrics, Net, Next, Output, Parts, Peer, Session};

/// Frames of a 4-byte length and a body; the answer is the same frame.
struct Echo;
struct EchoSession;

impl Session for EchoSession {
    type Call = Bytes;
    type Reply = Bytes;

    fn receive(
        &mut self,
        _now: Instant,
        input: &mut BytesMut,
        _output: &mut Output,
    ) -> Result<Next<Bytes>, Close> {
        let Some(&[a, b, c, d]) = input.get(..4) else {
            return Ok(Next::Bytes(4));
        };
        let len = 4 + u32::from_be_bytes([a, b, c, d]) as usize;
        if input.len() < len {
            return Ok(Next::Bytes(len));
        }
        Ok(Next::Call(Lane(0), input.split_to(len).freeze()))
    }

    fn reply(
        &mut self,
        _now: Instant,
        _lane: Lane,
        reply: Bytes,
        output: &mut Output,
    ) -> Result<(), Close> {
        output.push(reply);
        Ok(())
    }
}

impl Head for Echo {
    type Session = EchoSession;
    const NAME: &'static str = "echo";

    fn open(&self, _now: Instant, _peer: &Peer) -> EchoSession {
        EchoSession
    }

    fn call(&self, call: Bytes) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::iter([call])
    }
}

/// CPU time of the threads whose name begins with `prefix`, in ticks of 10 ms.
fn cpu_ticks(prefix: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let times = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        // proc_pid_stat(5): utime and stime are fields 14 and 15, the state behind the name is 3.
        let mut fields = rest.split_whitespace().skip(11);
        let time =
            || Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?);
        name.starts_with(prefix).then(time)?
    });
    times.sum()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Writes `depth` requests, reads their answers, again and again.
fn client(addr: SocketAddr, depth: usize, size: usize, done: &AtomicU64, stop: &AtomicBool) {
    let Ok(mut socket) = TcpStream::connect(addr) else {
        return;
    };
    let _ = socket.set_nodelay(true);
    let mut frame = u32::try_from(size).unwrap_or(0).to_be_bytes().to_vec();
    frame.resize(4 + size, 7);
    let burst = frame.repeat(depth);
    let mut answer = vec![0; burst.len()];
    while !stop.load(Ordering::Relaxed) {
        if socket
            .write_all(&burst)
            .and_then(|()| socket.read_exact(&mut answer))
            .is_err()
        {
            return;
        }
        done.fetch_add(depth as u64, Ordering::Relaxed);
    }
}

fn throughput(addr: SocketAddr, arguments: &[usize]) {
    let argument = |at: usize, default| arguments.get(at).copied().unwrap_or(default);
    let (connections, depth) = (argument(0, 4), argument(1, 64));
    let (size, seconds) = (argument(2, 100), argument(3, 5) as u64);
    let (done, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let clients: Vec<_> = (0..connections)
        .filter_map(|_| {
            let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
            let run = move || client(addr, depth, size, &done, &stop);
            thread::Builder::new()
                .name("client".to_owned())
                .spawn(run)
                .ok()
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let (count, cpu) = (done.load(Ordering::Relaxed), cpu_ticks("server"));
    thread::sleep(Duration::from_secs(seconds));
    let (count, cpu) = (
        done.load(Ordering::Relaxed) - count,
        cpu_ticks("server") - cpu,
    );
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let _ = client.join();
    }
    let cpu_ns = cpu as f64 * 10_000_000.0 / count.max(1) as f64;
    println!(
        "{connections} connections, {depth} pipelined, {size} bytes: {} requests/s, \
         {cpu_ns:.0} ns of server CPU each",
        count / seconds
    );
}

fn idle(addr: SocketAddr, connections: usize) {
    let before = resident_kib();
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let Ok(mut socket) = TcpStream::connect(addr) else {
            break;
        };
        let mut answer = [0; 5];
        let echoed = socket
            .write_all(&[0, 0, 0, 1, 7])
            .and_then(|()| socket.read_exact(&mut answer));
        if echoed.is_err() {
            break;
        }
        open.push(socket);
    }
    thread::sleep(Duration::from_secs(1));
    let kib = resident_kib().saturating_sub(before);
    println!(
        "{} idle connections: {} bytes each",
        open.len(),
        kib * 1024 / open.len().max(1) as u64
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_idle = arguments.first().is_some_and(|first| first == "idle");
    if is_idle {
        arguments.remove(0);
    }
    let numbers: Vec<usize> = arguments
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("server")
        .enable_all()
        .build()?;
    let listener = runtime.block_on(async {
        let net = Net::new(Parts {
            clock: Clock::system(),
            ledger: Ledger::new(256 << 20),
            tasks: Tasks::current(),
            metrics: Metrics::new(&base::Metrics::default()),
        });
        net.listen(Echo, &Config::at("127.0.0.1:0")).await
    })?;
    let addr = listener.as_ref().ok_or("not listening")?.addr();
    if is_idle {
        idle(addr, numbers.first().copied().unwrap_or(10_000));
    } else {
        throughput(addr, &numbers);
    }
    Ok(())
}
