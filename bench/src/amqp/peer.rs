//! RabbitMQ and Stentor as processes, each over an empty folder, on free ports of loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::client::Connection;
use crate::AmqpOptions;
use crate::process::Process;
use crate::system::{free_address, stentor};

/// How long a server has to become ready.
const READY_MAX: Duration = Duration::from_secs(120);

/// What is measured: a server and the type of its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    /// Stentor as it is shipped; all types are one.
    Stentor,
    /// RabbitMQ's classic queues: not synced before a confirm.
    Classic,
    /// RabbitMQ's quorum queues with one member: synced before a confirm.
    Quorum,
}

impl System {
    pub(crate) const ALL: [Self; 3] = [Self::Quorum, Self::Classic, Self::Stentor];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stentor => "Stentor",
            Self::Classic => "RabbitMQ, classic",
            Self::Quorum => "RabbitMQ, quorum",
        }
    }

    /// `x-queue-type`.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Stentor | Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}

/// A system that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
    _folder: TempDir,
}

impl Running {
    /// Starts it and waits until a client can open a channel.
    pub(crate) fn start(system: System, options: &AmqpOptions) -> Result<Self> {
        let beside = match system {
            System::Stentor => Path::new("target").to_owned(),
            System::Classic | System::Quorum => options.rabbitmq.join("var/lib/rabbitmq"),
        };
        std::fs::create_dir_all(&beside)?;
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(beside)?;
        let address = free_address()?;
        let log = folder.path().join("log");
        let mut command = match system {
            System::Stentor => {
                let mut command = stentor(&options.stentor, folder.path(), free_address()?)?;
                command.env("STENTOR__AMQP__LISTEN", address.to_string());
                command
            }
            System::Classic | System::Quorum => {
                rabbitmq(&options.rabbitmq, folder.path(), address)?
            }
        };
        let started = Instant::now();
        let mut process = Process::start(&mut command, &log)?;
        while Connection::open(address).is_err() {
            process
                .check()
                .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
            ensure!(
                started.elapsed() < READY_MAX,
                "{} is not ready",
                system.name()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        let ready = started.elapsed();
        if system != System::Stentor {
            let id = std::fs::read_to_string(folder.path().join("pid"))?;
            process.is_served_by(id.trim().parse()?);
        }
        Ok(Self {
            address,
            process,
            ready,
            _folder: folder,
        })
    }
}

/// RabbitMQ in a root of its own, for its packages are newer than the system that this runs on; in
/// name spaces of its own, so that nothing of it is left behind.
fn rabbitmq(root: &Path, folder: &Path, address: SocketAddr) -> Result<Command> {
    let inside = Path::new("/").join(folder.strip_prefix(root)?);
    let inside = inside.to_str().context("a path that is no text")?;
    let port = address.port();
    let settings = [
        "loopback_users = none".to_owned(),
        format!("listeners.tcp.default = 127.0.0.1:{port}"),
        "log.console.level = warning".to_owned(),
    ];
    std::fs::write(folder.join("rabbitmq.conf"), settings.join("\n"))?;
    std::fs::write(folder.join("plugins"), "[].")?;
    let distribution = free_address()?.port();
    let script = format!(
        "mount --rbind /proc {root}/proc && mount --rbind /dev {root}/dev && \
         exec chroot {root} /usr/lib/rabbitmq/bin/rabbitmq-server",
        root = root.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    command
        .env("HOME", inside)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("RABBITMQ_NODENAME", format!("bench{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", format!("{inside}/data"))
        .env("RABBITMQ_LOG_BASE", format!("{inside}/logs"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_PID_FILE", format!("{inside}/pid"))
        .env("RABBITMQ_CONFIG_FILE", format!("{inside}/rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", format!("{inside}/plugins"));
    Ok(command)
}
