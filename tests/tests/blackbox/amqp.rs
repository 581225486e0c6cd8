//! AMQP's clients: what pika and aio-pika do in earnest, and amqplib's own suite against the table
//! of `docs/protocols/amqp.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::{installed, report};
use crate::server::{Server, required};

/// How many tests the suite has; fewer were not run.
const SUITE: usize = 317;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Runs a Python client against a server; it fails by how it ends.
fn python(server: &Server, script: &str, arguments: &[&str]) {
    let mut command = Command::new(installed().join("python/bin/python"));
    command.arg(sources().join("python").join(script));
    command.arg(server.amqp.port().to_string()).args(arguments);
    let status = command.status().unwrap();
    assert!(status.success(), "{script} {arguments:?}: {status}");
}

#[test]
fn pika_gets_back_after_a_crash_what_was_confirmed() {
    let mut server = Server::start();
    python(&server, "amqp_pika.py", &["publish"]);
    server.kill_and_restart();
    python(&server, "amqp_pika.py", &["consume"]);
    report("pika", "publish, crash, consume");
}

#[test]
fn aio_pika_works_on_many_channels() {
    let server = Server::start();
    python(&server, "amqp_aio.py", &[]);
    report("aio-pika", "channels, direct replies, streams");
}

/// Whether a process can have a network of its own here: then the suite's port is free there.
fn own_network() -> bool {
    let mut probe = Command::new("unshare");
    let probe = probe.args(["--map-root-user", "--net", "true"]);
    let quiet = probe.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The tests that the table says do not pass.
fn known() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocols/amqp.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("| file | test | why |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let name = |row: &str| row.split('|').nth(2).unwrap().trim().to_owned();
    rows.map(name).collect()
}

/// The names of the tests in a TAP report that failed, and how many tests there were.
fn failed(tap: &str) -> (BTreeSet<String>, usize) {
    let lines: Vec<_> = tap.lines().map(str::trim_start).collect();
    let total = lines.iter().find_map(|line| line.strip_prefix("# tests "));
    let mut failed = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix("not ok ") else {
            continue;
        };
        // A suite fails with its tests.
        let mut detail = lines[at..].iter().take_while(|line| **line != "...");
        if detail.any(|line| line.contains("type: 'suite'") || line.contains("subtestsFailed")) {
            continue;
        }
        let name = rest.split_once(" - ").map_or(rest, |(_, name)| name);
        failed.insert(name.to_owned());
    }
    (failed, total.and_then(|n| n.parse().ok()).unwrap_or(0))
}

#[test]
fn the_suite_of_amqplib_passes_but_for_what_the_table_names() {
    let folder = tempfile::tempdir().unwrap();
    let script = sources().join("amqplib/suite.sh");
    let mut command = if own_network() {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.arg(script).arg(required("STENTOR_BIN"));
    command.arg(folder.path());
    command.arg(installed().join("amqplib/node_modules"));
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let tap = String::from_utf8_lossy(&output.stdout);
    let (failed, total) = failed(&tap);
    report(
        "amqplib's suite",
        &format!("{} of {total}", total - failed.len()),
    );
    assert_eq!(total, SUITE, "{tap}");
    assert_eq!(failed, known(), "{tap}");
}
