//! Stentor and ElasticMQ in turn, on the same work, by the same client: messages are sent in
//! batches of ten, received in batches of ten, and deleted in the batches in which they came.

mod client;
mod report;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use tempfile::TempDir;

use self::client::{BATCH, Connection};
use crate::SqsOptions;
use crate::kafka::Footprint;
use crate::process::Process;
use crate::stats::Figures;
use crate::system::{free_address, stentor};

const SIZES: [usize; 3] = [16, 1024, 16 << 10];
/// Connections that send, and as many that receive.
const CONNECTIONS: [usize; 2] = [1, 10];
/// Groups of a FIFO queue, for each connection that sends.
const GROUPS: usize = 20;
/// Messages of a load at most, and bytes of bodies.
const MESSAGES_MAX: usize = 200_000;
const BYTES: usize = 200 << 20;
const READY_MAX: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum System {
    /// As it is shipped: what is answered is synced.
    Stentor,
    /// As it is shipped: in memory.
    ElasticMq,
}

impl System {
    const ALL: [Self; 2] = [Self::ElasticMq, Self::Stentor];

    fn name(self) -> &'static str {
        match self {
            Self::Stentor => "Stentor",
            Self::ElasticMq => "ElasticMQ",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Workload {
    fifo: bool,
    size: usize,
    connections: usize,
}

impl Workload {
    fn name(self) -> String {
        let kind = if self.fifo { "FIFO" } else { "standard" };
        format!("{kind} {}B {1}x{1}", self.size, self.connections)
    }

    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for size in SIZES {
            all.extend(CONNECTIONS.map(|connections| Self {
                fifo: false,
                size,
                connections,
            }));
        }
        all.extend(CONNECTIONS.map(|connections| Self {
            fifo: true,
            size: 1024,
            connections,
        }));
        all
    }
}

/// What was measured for a system and a workload.
#[derive(Clone, Debug, Default)]
struct Throughput {
    /// Messages sent, received and deleted, a second.
    rate: Figures,
    /// Requests answered, a second.
    requests: Figures,
    /// The server's CPU seconds per million messages.
    cpu: Figures,
}

/// Everything that was measured.
#[derive(Debug, Default)]
struct Results {
    throughput: BTreeMap<(Workload, System), Throughput>,
    footprint: BTreeMap<System, Footprint>,
}

/// A system that runs.
#[derive(Debug)]
struct Running {
    address: SocketAddr,
    process: Process,
    ready: Duration,
    _folder: TempDir,
}

impl Running {
    fn start(system: System, options: &SqsOptions) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in("target")?;
        let address = free_address()?;
        let mut command = match system {
            System::Stentor => {
                let mut command = stentor(&options.stentor, folder.path(), free_address()?)?;
                command
                    .env("STENTOR__AMQP__LISTEN", "off")
                    .env("STENTOR__SQS__LISTEN", address.to_string());
                command
            }
            System::ElasticMq => elasticmq(&options.elasticmq, folder.path(), address)?,
        };
        let started = Instant::now();
        let mut process = Process::start(&mut command, &folder.path().join("log"))?;
        while Connection::open(address)
            .and_then(|mut connection| connection.call("ListQueues", "{}"))
            .is_err()
        {
            process.check()?;
            ensure!(
                started.elapsed() < READY_MAX,
                "{} is not ready",
                system.name()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self {
            address,
            process,
            ready: started.elapsed(),
            _folder: folder,
        })
    }
}

fn elasticmq(jars: &Path, folder: &Path, address: SocketAddr) -> Result<Command> {
    let config = folder.join("elasticmq.conf");
    let port = address.port();
    let text = format!(
        "include classpath(\"application.conf\")\n\
         node-address {{ host = \"127.0.0.1\", port = {port} }}\n\
         rest-sqs {{ enabled = true, bind-hostname = \"127.0.0.1\", bind-port = {port} }}\n\
         rest-stats {{ enabled = false }}\n"
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new("java");
    command
        .arg(format!("-Dconfig.file={}", config.display()))
        .args(["-Xms1g", "-Xmx1g", "-cp"])
        .arg(jars.join("*"))
        .arg("org.elasticmq.server.Main");
    Ok(command)
}

/// Measures, prints, and writes the document if one is named.
pub(crate) fn run(options: &SqsOptions) -> Result<()> {
    let mut results = Results::default();
    for run in 0..options.runs {
        for system in System::ALL {
            println!("# run {} of {}: {}", run + 1, options.runs, system.name());
            measure(system, options, &mut results)?;
        }
    }
    let text = report::text(&results, options);
    println!("{text}");
    match &options.out {
        Some(path) => crate::report::replace(path, "sqs", &text),
        None => Ok(()),
    }
}

fn measure(system: System, options: &SqsOptions, results: &mut Results) -> Result<()> {
    let mut running = Running::start(system, options)?;
    let footprint = results.footprint.entry(system).or_default();
    footprint.ready.push(running.ready.as_secs_f64() * 1000.0);
    footprint.idle.push(running.process.resident_mib()?);
    for workload in Workload::all() {
        if !workload.name().contains(&options.only) {
            continue;
        }
        let most = (BYTES / workload.size).min(MESSAGES_MAX) * options.percent / 100;
        let messages = most.max(1000) / BATCH / workload.connections * BATCH * workload.connections;
        let small = (messages / 10).max(BATCH * workload.connections);
        let small = small / BATCH / workload.connections * BATCH * workload.connections;
        // Once for nothing: code and buffers are warm after it.
        load(running.address, workload, small)?;
        let before = running.process.cpu_seconds()?;
        let (took, requests) = load(running.address, workload, messages)?;
        let cpu = running.process.cpu_seconds()? - before;
        running.process.check()?;
        let rate = messages as f64 / took.as_secs_f64();
        println!("{:<24} {rate:>10.0} messages/s", workload.name());
        let throughput = results.throughput.entry((workload, system)).or_default();
        throughput.rate.push(rate);
        throughput
            .requests
            .push(requests as f64 / took.as_secs_f64());
        throughput.cpu.push(cpu / messages as f64 * 1e6);
    }
    let footprint = results.footprint.entry(system).or_default();
    footprint.after.push(running.process.resident_mib()?);
    running.process.stop()
}

/// The entries of one batch; ids of FIFO messages never repeat.
fn entries(workload: Workload, sender: usize, number: usize, body: &str) -> String {
    let mut out = String::new();
    for at in 0..BATCH {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(out, r#"{comma}{{"Id":"{at}","MessageBody":"{body}""#);
        if workload.fifo {
            let group = (number * BATCH + at) % GROUPS;
            let id = format!("{sender}-{number}-{at}");
            let _ = write!(
                out,
                r#","MessageGroupId":"{sender}-{group}","MessageDeduplicationId":"{id}""#
            );
        }
        out.push('}');
    }
    out
}

/// Sends and takes `messages`; how long until the last was deleted, and how many requests it took.
fn load(address: SocketAddr, workload: Workload, messages: usize) -> Result<(Duration, usize)> {
    let mut control = Connection::open(address)?;
    let name = if workload.fifo { "load.fifo" } else { "load" };
    let url = control.create(name, workload.fifo)?;
    let each = messages / workload.connections;
    let body = "x".repeat(workload.size);
    let (taken, requests) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for sender in 0..workload.connections {
            let (url, body, requests) = (&url, &body, &requests);
            threads.push(scope.spawn(move || -> Result<()> {
                let mut connection = Connection::open(address)?;
                for number in 0..each / BATCH {
                    let entries = entries(workload, sender, number, body);
                    let request = format!(r#"{{"QueueUrl":"{url}","Entries":[{entries}]}}"#);
                    let answer = connection.call("SendMessageBatch", &request)?;
                    let sent = client::texts(&answer, "MessageId").len();
                    ensure!(sent == BATCH, "not sent: {answer}");
                    requests.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }));
            let taken = &taken;
            threads.push(scope.spawn(move || -> Result<()> {
                let mut connection = Connection::open(address)?;
                while taken.load(Ordering::Relaxed) < messages {
                    let n = connection.take(url)?;
                    taken.fetch_add(n, Ordering::Relaxed);
                    requests.fetch_add(if n == 0 { 1 } else { 2 }, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
    })?;
    let took = started.elapsed();
    control.delete_queue(&url)?;
    Ok((took, requests.into_inner()))
}
