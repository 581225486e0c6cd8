//! The systems that are measured: each in a folder of its own, on free ports of loopback.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Options;
use crate::connection::Connection;
use crate::process::Process;

/// How long a server has to become ready.
const READY_MAX: Duration = Duration::from_secs(120);

/// A system, and how durable its acknowledgements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum System {
    /// Stentor as it is shipped: acknowledged means synced.
    Stentor,
    /// Stentor with Kafka's promise: acknowledged means that the operating system has it.
    StentorAsync,
    /// Apache Kafka as it is shipped.
    Kafka,
    /// Apache Kafka with a sync for every batch.
    KafkaSync,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stentor => "stentor",
            Self::StentorAsync => "stentor async",
            Self::Kafka => "kafka",
            Self::KafkaSync => "kafka sync",
        }
    }

    /// What its topics are created with.
    pub(crate) fn topic_config(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::StentorAsync => Some(("stentor.durability", "async")),
            Self::KafkaSync => Some(("flush.messages", "1")),
            Self::Stentor | Self::Kafka => None,
        }
    }

    fn is_kafka(self) -> bool {
        matches!(self, Self::Kafka | Self::KafkaSync)
    }
}

/// A system that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) system: System,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
    _folder: TempDir,
}

/// A port that nobody listens at, now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Running {
    /// Starts it over an empty folder and waits for its first answer.
    pub(crate) fn start(system: System, options: &Options) -> Result<Self> {
        // Beside the tree, not in /tmp: that may be memory.
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in("target")?;
        let address = free_address()?;
        let mut command = if system.is_kafka() {
            kafka(&options.kafka, folder.path(), address)?
        } else {
            stentor(&options.stentor, folder.path(), address)?
        };
        let started = Instant::now();
        let mut process = Process::start(&mut command, &folder.path().join("log"))?;
        loop {
            process.check()?;
            if Connection::open(address)
                .and_then(|mut c| c.versions())
                .is_ok()
            {
                break;
            }
            ensure!(
                started.elapsed() < READY_MAX,
                "{} is not ready",
                system.name()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        let ready = started.elapsed();
        Ok(Self {
            system,
            address,
            process,
            ready,
            _folder: folder,
        })
    }

    /// A topic that nothing is in, all of whose partitions answer.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let mut connection = Connection::open(self.address)?;
        connection.create_topic(name, partitions, self.system.topic_config())?;
        let offsets = vec![0; usize::try_from(partitions)?];
        let started = Instant::now();
        while let Err(error) = connection.fetch(name, &offsets) {
            ensure!(
                started.elapsed() < READY_MAX,
                "topic {name} is not ready: {error}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Removes a topic.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<()> {
        Connection::open(self.address)?.delete_topic(name)
    }
}

/// Stentor over `folder`, with its Kafka listener at `address`.
pub(crate) fn stentor(program: &Path, folder: &Path, address: SocketAddr) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .arg("serve")
        .env("STENTOR__DATA_DIR", folder.join("data"))
        .env("STENTOR__KAFKA__LISTEN", address.to_string())
        .env("STENTOR__HTTP__LISTEN", free_address()?.to_string())
        .env("STENTOR__SQS__LISTEN", "off")
        .env("STENTOR__AMQP__LISTEN", "off");
    Ok(command)
}

/// One broker that is its own controller, with the settings that its quick start gives a single
/// node; the heap is the one its own scripts set.
fn kafka(jars: &Path, folder: &Path, address: SocketAddr) -> Result<Command> {
    let controller = free_address()?;
    let data = folder.join("data");
    let settings = [
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        format!("controller.quorum.bootstrap.servers={controller}"),
        format!("listeners=PLAINTEXT://{address},CONTROLLER://{controller}"),
        format!("advertised.listeners=PLAINTEXT://{address},CONTROLLER://{controller}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
        format!("log.dirs={}", data.display()),
        "num.network.threads=3".to_owned(),
        "num.io.threads=8".to_owned(),
        "offsets.topic.replication.factor=1".to_owned(),
        "transaction.state.log.replication.factor=1".to_owned(),
        "transaction.state.log.min.isr=1".to_owned(),
        "share.coordinator.state.topic.replication.factor=1".to_owned(),
        "share.coordinator.state.topic.min.isr=1".to_owned(),
    ];
    let properties = folder.join("server.properties");
    std::fs::write(&properties, settings.join("\n"))?;
    let class_path = format!("{}/*", jars.display());
    let tool = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new("java");
        command
            .args(["-cp", &class_path, "kafka.tools.StorageTool"])
            .args(arguments);
        let output = command.stderr(Stdio::null()).output()?;
        ensure!(output.status.success(), "{command:?}: {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    };
    let id = tool(&["random-uuid"])?;
    let id = id.split_whitespace().next_back().context("no id")?;
    let file = properties.to_str().context("a path that is no text")?;
    tool(&["format", "--standalone", "-t", id, "-c", file])?;
    let mut command = Command::new("java");
    command.args([
        "-Xms1g",
        "-Xmx1g",
        "-server",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
    ]);
    command.args([
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
    ]);
    command.args(["-cp", &class_path, "kafka.Kafka", file]);
    Ok(command)
}
