//! Kafka's own console tools, as they come in its jars: what an operator types has to work, and
//! what the tools print has to be true.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::{installed, report};
use crate::server::Server;

const RECORDS: usize = 30;
/// The one that lies in another package.
const CONFIG: &str = "ConfigCommand";

/// A server and a way to run the tools against it.
struct Tools {
    server: Server,
    bootstrap: String,
}

impl Tools {
    /// Runs one with this on its standard input; what it printed.
    fn feed(&self, class: &str, arguments: &[&str], input: &str) -> String {
        let package = if class == CONFIG {
            "kafka.admin"
        } else {
            "org.apache.kafka.tools"
        };
        let class = format!("{package}.{class}");
        let mut child = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-cp"])
            .arg(installed().join("java/lib/*"))
            .arg(&class)
            .args(["--bootstrap-server", &self.bootstrap])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        report("Kafka's console tools", &class);
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{class} {arguments:?}: {printed}\n{complained}"
        );
        printed
    }

    fn run(&self, class: &str, arguments: &str) -> String {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        self.feed(class, &arguments, "")
    }
}

/// The columns of a table's line that begins with `first`.
fn line<'a>(printed: &'a str, first: &str) -> Vec<&'a str> {
    let lines = printed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut lines = lines.filter(|columns| columns.first() == Some(&first));
    lines
        .next()
        .unwrap_or_else(|| panic!("no line `{first}` in:\n{printed}"))
}

/// What stands behind `name:` and before the next tab.
fn field<'a>(printed: &'a str, name: &str) -> &'a str {
    let rest = printed.split_once(&format!("{name}: "));
    let (_, rest) = rest.unwrap_or_else(|| panic!("no `{name}` in:\n{printed}"));
    rest.split(['\t', '\n']).next().unwrap()
}

fn number(text: &str) -> u64 {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn topics(tools: &Tools) {
    tools.run(
        "TopicCommand",
        "--create --topic sold --partitions 2 --config retention.ms=3600000",
    );
    tools.run("TopicCommand", "--alter --topic sold --partitions 3");
    let described = tools.run("TopicCommand", "--describe --topic sold");
    assert_eq!(field(&described, "PartitionCount").trim(), "3");
    assert_eq!(field(&described, "ReplicationFactor").trim(), "1");
    assert!(
        field(&described, "Configs").contains("retention.ms=3600000"),
        "{described}"
    );
    assert_eq!(described.matches("Leader: 1").count(), 3, "{described}");
    assert_eq!(described.matches("Isr: 1").count(), 3, "{described}");
}

fn records(tools: &Tools) {
    let lines: String = (0..RECORDS)
        .map(|i| format!("key-{i}:value-{i}\n"))
        .collect();
    let keyed = "--topic sold --reader-property parse.key=true --reader-property key.separator=:";
    let keyed: Vec<_> = keyed.split(' ').collect();
    tools.feed("ConsoleProducer", &keyed, &lines);
    let ends = tools.run("GetOffsetShell", "--topic sold --time latest");
    let ends = ends
        .lines()
        .map(|line| number(line.rsplit(':').next().unwrap()));
    assert_eq!(ends.sum::<u64>(), RECORDS as u64);
    let read = tools.run(
        "consumer.ConsoleConsumer",
        &format!(
            "--topic sold --group buyers --from-beginning --max-messages {RECORDS} \
             --timeout-ms 60000 --formatter-property print.key=true \
             --formatter-property key.separator=:"
        ),
    );
    let mut read: Vec<_> = read.lines().map(str::to_owned).collect();
    let mut wrote: Vec<_> = lines.lines().map(str::to_owned).collect();
    read.sort();
    wrote.sort();
    assert_eq!(read, wrote);
}

fn groups(tools: &Tools) {
    let group = "consumer.group.ConsumerGroupCommand";
    let listed = tools.run(group, "--list --state");
    assert_eq!(line(&listed, "buyers"), ["buyers", "Empty"]);
    let lag = |described: &str| -> (u64, u64) {
        let rows = described.lines().filter(|line| line.starts_with("buyers"));
        let rows: Vec<Vec<_>> = rows.map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 3, "{described}");
        let sum = |column: usize| rows.iter().map(|row| number(row[column])).sum();
        (sum(3), sum(5))
    };
    let described = tools.run(group, "--describe --group buyers");
    assert_eq!(lag(&described), (RECORDS as u64, 0), "{described}");
    tools.run(
        group,
        "--group buyers --reset-offsets --to-earliest --topic sold --execute",
    );
    let described = tools.run(group, "--describe --group buyers");
    assert_eq!(lag(&described), (0, RECORDS as u64), "{described}");
    let deleted = tools.run(group, "--delete --group buyers");
    assert!(deleted.contains("successful"), "{deleted}");
}

fn settings(tools: &Tools) {
    let of = "--entity-type topics --entity-name sold";
    let alter = "--alter --add-config max.message.bytes=70000 --delete-config retention.ms";
    tools.run(CONFIG, &format!("{of} {alter}"));
    let described = tools.run(CONFIG, &format!("{of} --describe"));
    assert!(described.contains("max.message.bytes=70000"), "{described}");
    assert!(!described.contains("retention.ms"), "{described}");
}

fn removals(tools: &Tools) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("before.json");
    let all = (0..3).map(|p| format!(r#"{{"topic":"sold","partition":{p},"offset":-1}}"#));
    let all: Vec<_> = all.collect();
    let before = format!(r#"{{"partitions":[{}],"version":1}}"#, all.join(","));
    std::fs::write(&file, before).unwrap();
    let file = file.display();
    let deleted = tools.run(
        "DeleteRecordsCommand",
        &format!("--offset-json-file {file}"),
    );
    assert_eq!(deleted.matches("low_watermark").count(), 3, "{deleted}");
    let offsets = tools.server.offsets("sold");
    assert!(
        offsets.iter().all(|(start, end)| start == end),
        "{offsets:?}"
    );

    let folders = tools.run("LogDirsCommand", "--describe --topic-list sold");
    let json = folders
        .lines()
        .find(|line| line.starts_with('{'))
        .expect("a line of JSON");
    let json: Value = serde_json::from_str(json).unwrap();
    let partitions = json["brokers"][0]["logDirs"][0]["partitions"]
        .as_array()
        .unwrap();
    assert_eq!(partitions.len(), 3, "{json}");

    tools.run("TopicCommand", "--delete --topic sold");
    let left = tools.run("TopicCommand", "--list");
    assert!(!left.lines().any(|line| line == "sold"), "{left}");
}

fn performance(tools: &Tools) {
    let produced = tools.run(
        "ProducerPerformance",
        "--topic many --num-records 20000 --record-size 100 --throughput -1 \
         --command-property acks=all",
    );
    assert!(produced.contains("20000 records sent"), "{produced}");
    let ends = tools.server.offsets("many");
    assert_eq!(ends.iter().map(|(_, end)| end).sum::<u64>(), 20_000);
    let consumed = tools.run(
        "ConsumerPerformance",
        "--topic many --num-records 20000 --timeout 60000 --hide-header",
    );
    let columns: Vec<_> = consumed.lines().last().unwrap().split(',').collect();
    assert!(number(columns[4]) >= 20_000, "{consumed}");
}

fn verifiable(tools: &Tools) {
    let events = |printed: &str, name: &str| -> Vec<Value> {
        let events = printed
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        events
            .filter(|event: &Value| event["name"] == name)
            .collect()
    };
    let printed = tools.run(
        "VerifiableProducer",
        "--topic verified --max-messages 200 --acks -1",
    );
    assert_eq!(events(&printed, "producer_send_success").len(), 200);
    assert_eq!(events(&printed, "producer_send_error").len(), 0);
    let printed = tools.run(
        "VerifiableConsumer",
        "--topic verified --group-id verifiers --max-messages 200 --reset-policy earliest",
    );
    let consumed = events(&printed, "records_consumed");
    let counts = consumed
        .iter()
        .map(|event| event["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 200);
}

#[test]
fn kafkas_console_tools_work() {
    let server = Server::start();
    let bootstrap = server.kafka.to_string();
    let tools = Tools { server, bootstrap };
    topics(&tools);
    records(&tools);
    groups(&tools);
    settings(&tools);
    removals(&tools);
    performance(&tools);
    verifiable(&tools);
}
