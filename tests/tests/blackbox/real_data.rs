//! A million lines of real text go in through kcat and come out through confluent-kafka, byte for
//! byte and in order, with a `kill -9` of the server in the middle.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::Server;

const LINES: usize = 1_000_000;

/// The sources of the packages that this project is built from: real text, and always there.
fn collect(folder: &Path, lines: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        if lines.len() >= LINES {
            return;
        }
        if path.is_dir() {
            collect(&path, lines);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read(&path).unwrap_or_default();
            let whole = text
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            lines.extend(whole.map(<[u8]>::to_vec));
        }
    }
}

#[test]
fn a_million_lines_survive_a_kill() {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"));
    let mut lines = Vec::new();
    collect(&home.join("registry/src"), &mut lines);
    lines.truncate(LINES);
    assert_eq!(lines.len(), LINES, "too few sources in {}", home.display());

    let mut server = Server::start();
    server.create_topic("lines", 1);
    let address = server.kafka.to_string();
    let mut kcat = Command::new("kcat")
        .args(["-P", "-E", "-b", &address, "-t", "lines", "-p", "0"])
        .args([
            "-X",
            "enable.idempotence=true",
            "-X",
            "acks=all",
            "-X",
            "retries=1000000",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = std::io::BufWriter::new(kcat.stdin.take().unwrap());
    for (at, line) in lines.iter().enumerate() {
        if at == LINES / 2 {
            input.flush().unwrap();
            server.kill_and_restart();
        }
        input.write_all(line).unwrap();
        input.write_all(b"\n").unwrap();
    }
    drop(input);
    assert!(
        kcat.wait().unwrap().success(),
        "kcat could not deliver everything"
    );

    let clients = PathBuf::from(std::env::var_os("STENTOR_CLIENTS").unwrap());
    let output = Command::new(clients.join("python/bin/python"))
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/python/lines.py"))
        .args([address.as_str(), "lines", &LINES.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut got = output.stdout.split(|byte| *byte == b'\n');
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(got.next(), Some(&line[..]), "line {at}");
    }
    assert_eq!(got.next(), Some(&b""[..]));
    assert_eq!(got.next(), None, "more came out than went in");
}
