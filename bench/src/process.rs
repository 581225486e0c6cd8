//! A server's process: what it costs, and its end.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Ticks per second of the CPU times in /proc: fixed at 100 on Linux whatever the kernel's own.
const TICKS: f64 = 100.0;
/// How long a server has to stop when asked to.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running process; ended when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The process that serves: a wrapper may have started it.
    id: u32,
}

impl Process {
    /// Starts it; its output goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let out = std::fs::File::create(log)?;
        let command = command
            .stdout(out.try_clone()?)
            .stderr(out)
            .stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        let id = child.id();
        Ok(Self { child, id })
    }

    /// What was started is a wrapper around this process.
    pub(crate) fn is_served_by(&mut self, id: u32) {
        self.id = id;
    }

    fn field(&self, file: &str, name: &str) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.id))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number
            .with_context(|| format!("no {name} in {file}"))?
            .parse()?)
    }

    /// CPU seconds so far, in user mode and in the kernel.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        let rest = text.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("stat")?.parse()?) };
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        Ok(self.field("status", "VmRSS:")? as f64 / 1024.0)
    }

    /// Whether it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the server ended with {status}"),
            None => Ok(()),
        }
    }

    /// Asks it to stop (SIGTERM) and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = self.id.to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let end = Instant::now() + STOP_MAX;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                bail!("the server did not stop within {STOP_MAX:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        if !ended && self.id != self.child.id() {
            let id = self.id.to_string();
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
