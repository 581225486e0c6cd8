//! SQS's SDKs, in both protocols, and what a `kill -9` may cost; moto's own tests of SQS against
//! `docs/protocols/sqs-moto.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::{installed, report};
use crate::server::Server;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(name)
}

fn endpoint(server: &Server) -> String {
    format!("http://{}", server.sqs)
}

/// boto3 of one of the two installations.
fn boto(environment: &str, server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(installed().join(environment).join("bin/python"));
    command
        .arg(source("sqs/boto.py"))
        .arg(endpoint(server))
        .args(arguments);
    command
}

/// Runs a program to its end; what it printed.
fn run(name: &str, command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {printed}\n{complained}");
    printed
}

fn done(printed: &str) -> Vec<&str> {
    printed
        .lines()
        .filter_map(|line| line.strip_prefix("done "))
        .collect()
}

const PARTS: [&str; 7] = [
    "queues",
    "messages",
    "batches",
    "waiting",
    "fifo",
    "dead_letters",
    "fifo_dead_letters",
];

#[test]
fn boto3_speaks_json() {
    let server = Server::start();
    report("boto3", "scenario");
    let printed = run("boto3", &mut boto("sqs", &server, &["scenario"]));
    assert!(printed.starts_with("speaks json"), "{printed}");
    assert_eq!(done(&printed), PARTS);
}

#[test]
fn boto3_speaks_query() {
    let server = Server::start();
    report("boto3 (Query)", "scenario");
    let printed = run(
        "boto3 (Query)",
        &mut boto("sqs-query", &server, &["scenario"]),
    );
    assert!(printed.starts_with("speaks query"), "{printed}");
    assert_eq!(done(&printed), PARTS);
}

#[test]
fn the_sdk_for_javascript() {
    let server = Server::start();
    report("AWS SDK for JavaScript", "scenario");
    let mut command = Command::new("node");
    command
        .arg(source("sqsjs/client.js"))
        .arg(endpoint(&server));
    command.env(
        "STENTOR_NODE_MODULES",
        installed().join("sqsjs/node_modules"),
    );
    let printed = run("AWS SDK for JavaScript", &mut command);
    assert_eq!(done(&printed), ["messages", "waiting", "fifo"]);
}

#[test]
fn the_sdk_for_java() {
    let server = Server::start();
    report("AWS SDK for Java", "scenario");
    let folder = installed().join("sqsjava");
    let path = format!("{}:{}", folder.display(), folder.join("lib/*").display());
    let mut command = Command::new("java");
    command.args(["-cp", &path, "SqsClientTest", &endpoint(&server)]);
    let printed = run("AWS SDK for Java", &mut command);
    assert_eq!(done(&printed), ["messages", "waiting", "fifo"]);
}

#[test]
fn signatures_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "AKIDTEST secret\n").unwrap();
    let keys = keys.display().to_string();
    let server = Server::start_with(&[("SQS__AUTH", "verify"), ("SQS__CREDENTIALS_FILE", &keys)]);
    for environment in ["sqs", "sqs-query"] {
        let send = ["send", environment, "20"];
        let sent = run(environment, &mut boto(environment, &server, &send));
        assert_eq!(said(&sent, "sent ").len(), 20, "{sent}");
        let mut wrong = boto(environment, &server, &send);
        let output = wrong.env("STENTOR_SECRET", "wrong").output().unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(complained.contains("SignatureDoesNotMatch"), "{complained}");
    }
}

/// Lines that begin with a word, without it.
fn said(printed: &str, word: &str) -> Vec<String> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix(word));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// What was acknowledged before a `kill -9` is received after it.
#[test]
fn a_kill_loses_no_acknowledged_message() {
    const SENT: usize = 400;
    let mut server = Server::start();
    report("boto3", "send, kill, drain");
    let mut sender = boto("sqs", &server, &["send", "kill", "100000"]);
    let mut sender = sender.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(sender.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut sent: BTreeSet<String> = BTreeSet::new();
    while sent.len() < SENT {
        let line = lines.next().expect("the sender goes on");
        sent.extend(line.strip_prefix("sent ").map(str::to_owned));
    }
    server.kill_and_restart();
    // What was acknowledged up to the kill, too.
    sent.extend(lines.filter_map(|line| line.strip_prefix("sent ").map(str::to_owned)));
    sender.wait().unwrap();
    let drained = run("boto3", &mut boto("sqs", &server, &["drain", "kill"]));
    let got = said(&drained, "got ");
    let unique: BTreeSet<String> = got.iter().cloned().collect();
    assert_eq!(unique.len(), got.len(), "a message came twice");
    let lost: Vec<_> = sent.difference(&unique).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// A FIFO queue after a `kill -9`: what was deleted does not come back, what was sent is known
/// for its five minutes, and each group has its order.
#[test]
fn a_kill_leaves_a_fifo_queue_as_it_was() {
    const DELETED: usize = 100;
    let mut server = Server::start();
    report(
        "boto3",
        "send, receive and delete (FIFO), kill, send again, drain",
    );
    let mut worker = boto("sqs", &server, &["work", "kill.fifo"]);
    let mut worker = worker.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut printed = String::new();
    let mut deleted = 0;
    while deleted < DELETED {
        let line = lines.next().expect("the worker goes on");
        deleted += usize::from(line.starts_with("deleted "));
        printed.push_str(&(line + "\n"));
    }
    server.kill_and_restart();
    lines.for_each(|line| printed.push_str(&(line + "\n")));
    worker.wait().unwrap();
    let sent = said(&printed, "sent ");
    let deleted = said(&printed, "deleted ");
    // Asked for and not answered, at most one: it may be there or not.
    let unsure = said(&printed, "deleting ");

    let number = |line: &String| line.split(' ').next().unwrap().to_owned();
    let numbers: Vec<String> = sent.iter().map(number).collect();
    let mut again = vec!["resend", "kill.fifo"];
    again.extend(numbers.iter().map(String::as_str));
    let again = run("boto3", &mut boto("sqs", &server, &again));
    assert_eq!(said(&again, "sent "), sent, "ids and places of the first");

    let drained = run("boto3", &mut boto("sqs", &server, &["drain", "kill.fifo"]));
    let got = said(&drained, "got ");
    let back: Vec<_> = got.iter().filter(|one| deleted.contains(one)).collect();
    assert!(back.is_empty(), "deleted and received: {back:?}");
    let mut kept = numbers.iter().filter(|one| !unsure.contains(one));
    let lost = kept.find(|one| !got.contains(one));
    assert_eq!(lost, None, "acknowledged and lost");
    let got: Vec<u32> = got.iter().map(|one| one.parse().unwrap()).collect();
    for group in 0..3 {
        let of_group: Vec<u32> = got.iter().copied().filter(|n| n % 3 == group).collect();
        assert!(!of_group.is_empty(), "{got:?}");
        assert!(of_group.is_sorted_by(|a, b| a < b), "{of_group:?}");
    }
}

/// The table of moto's tests that do not pass: name and reason.
fn not_passing() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocols/sqs-moto.md");
    let document = std::fs::read_to_string(path).unwrap();
    let rows = document.lines().filter_map(|line| {
        let mut columns = line.strip_prefix("| `")?.split(" | ");
        let name = columns.next()?.trim_end_matches('`').to_owned();
        let why = columns.next()?.trim_end_matches(" |").to_owned();
        Some((name, why))
    });
    rows.collect()
}

#[test]
fn moto_tests_pass_but_for_those_in_the_table() {
    let server = Server::start_with(&[
        ("SQS__ACCOUNT_ID", "123456789012"),
        ("SQS__RECREATE_AFTER", "0ms"),
    ]);
    let folder = std::fs::read_dir(installed().join("moto")).unwrap();
    let folder = folder.filter_map(Result::ok).map(|entry| entry.path());
    let folder = folder
        .into_iter()
        .find(|path| path.join("tests/test_sqs").is_dir())
        .unwrap();
    report("moto's tests of SQS", "test_sqs");
    let output = Command::new(installed().join("sqs/bin/python"))
        .args(["-m", "pytest", "-q", "-p", "moto_plugin"])
        .args(["--color=no", "--tb=short"])
        .args(
            ["test_sqs.py", "test_sqs_message_attributes.py"]
                .map(|file| format!("tests/test_sqs/{file}")),
        )
        .current_dir(folder)
        .env("PYTHONPATH", source("sqs"))
        .env("TEST_SERVER_MODE", "true")
        .env("TEST_SERVER_MODE_ENDPOINT", endpoint(&server))
        .env("MOTO_CALL_RESET_API", "false")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let verdicts = said(&printed, "verdict ");
    assert!(verdicts.len() > 150, "moto's tests did not run:\n{printed}");
    let known = not_passing();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for line in &verdicts {
        let (name, outcome) = line.rsplit_once(' ').unwrap();
        let row = known.get_key_value(name);
        seen.extend(row.map(|(name, _)| name.as_str()));
        match (outcome, row) {
            ("passed", None) | ("failed" | "skipped", Some(_)) => {}
            ("passed", Some(_)) => wrong.push(format!("{name} passes: its row has to go")),
            (outcome, _) => wrong.push(format!("{name}: {outcome}, and has no row")),
        }
    }
    let gone = known.keys().filter(|name| !seen.contains(name.as_str()));
    wrong.extend(gone.map(|name| format!("{name} has a row and does not exist")));
    assert!(wrong.is_empty(), "{}\n{printed}", wrong.join("\n"));
}
