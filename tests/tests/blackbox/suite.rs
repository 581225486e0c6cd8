//! librdkafka's own test suite, against `docs/protocols/kafka-suite.md`: every test of the suite
//! has its row there, and what the table calls `pass` passes. `cargo xtask soak` also tries what
//! the table does not call so: what passes all the same has to move up.

mod certificates;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use self::certificates::Certificates;
use crate::client::{installed, report};
use crate::server::{Server, Settings};

/// How many processes of the suite run at a time. Its tests mostly wait.
const WORKERS: usize = 6;
/// The one that takes longest: it goes first.
const SLOWEST: &str = "0113";
/// The longest that one of them may take, in seconds; the suite has shorter limits of its own.
const LONGEST: &str = "600";
/// The version of Apache Kafka that the suite is to expect.
const VERSION: &str = "4.0.0";

/// A server that tests of the suite ask for, and how they come to it.
struct Setup {
    server: Server,
    /// The suite's configuration file.
    conf: PathBuf,
    arguments: &'static [&'static str],
    variables: Vec<(&'static str, String)>,
}

impl Setup {
    fn new(scratch: &Path, name: &str, settings: Settings<'_>, lines: &str) -> Self {
        let server = Server::start_with(settings);
        let conf = scratch.join(name);
        std::fs::write(
            &conf,
            format!("bootstrap.servers={}\n{lines}", server.kafka),
        )
        .unwrap();
        Self {
            server,
            conf,
            arguments: &[],
            variables: Vec::new(),
        }
    }

    /// All of them, by the name that the table has for each.
    fn all(scratch: &Path) -> BTreeMap<&'static str, Self> {
        let auto = Self::new(scratch, "auto", &[], "");
        let mut noauto = Self::new(scratch, "noauto", &[("TOPICS__AUTO_CREATE", "false")], "");
        noauto.arguments = &["-s", "noautocreate"];
        let sasl = Self::new(
            scratch,
            "sasl",
            &[("KAFKA__SASL", "true"), ("KAFKA__SASL_LIFETIME", "10s")],
            "security.protocol=sasl_plaintext\nsasl.mechanism=SCRAM-SHA-256\n\
             sasl.username=suite\nsasl.password=pencil\n",
        );
        let user = sasl
            .server
            .request("PUT", "/v1/users/suite", "{\"password\":\"pencil\"}");
        assert_eq!(user.unwrap().0, 204);
        let certificates = Certificates::make(scratch);
        let settings = certificates.settings();
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let mut tls = Self::new(scratch, "tls", &settings, &certificates.lines());
        tls.variables = certificates.variables();
        BTreeMap::from([
            ("auto", auto),
            ("noauto", noauto),
            ("sasl", sasl),
            ("tls", tls),
        ])
    }
}

#[derive(PartialEq, Eq)]
enum Verdict {
    /// It passes.
    Pass,
    /// These subtests of it pass.
    Parts(Vec<String>),
    /// It speaks to no broker, or only to librdkafka's own imitation of one.
    Local,
    /// It asks for something that is not served, or cannot be had.
    Skip,
    /// It waits for a person.
    Manual,
}

struct Row {
    name: String,
    verdict: Verdict,
    /// The server that it asks for; see [`Setup::all`].
    setup: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocols/kafka-suite.md");
    let table = std::fs::read_to_string(path).unwrap();
    let mut rows = Vec::new();
    for line in table.lines() {
        let cells = line.strip_prefix("| ").unwrap_or_default();
        let cells: Vec<_> = cells.split('|').map(str::trim).collect();
        if !cells[0].starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let quoted = || cells[3].split('`').skip(1).step_by(2).map(str::to_owned);
        let verdict = match cells[1] {
            "pass" => Verdict::Pass,
            "parts" => Verdict::Parts(quoted().collect()),
            "local" => Verdict::Local,
            "skip" => Verdict::Skip,
            "manual" => Verdict::Manual,
            other => panic!("{}: `{other}` is no verdict", cells[0]),
        };
        assert!(
            verdict == Verdict::Pass || !cells[3].is_empty(),
            "{} says not why",
            cells[0]
        );
        rows.push(Row {
            name: cells[0].to_owned(),
            verdict,
            setup: cells[2].to_owned(),
        });
    }
    rows
}

fn folder() -> PathBuf {
    installed().join("librdkafka/tests")
}

#[test]
fn every_test_of_the_suite_has_a_row() {
    let source = std::fs::read_to_string(folder().join("test.c")).unwrap();
    let (_, list) = source.split_once("struct test tests[] = {").unwrap();
    let (list, _) = list.split_once("{NULL}").unwrap();
    let entries = list.split("_TEST(").skip(1).map(|entry| {
        let (name, rest) = entry.split_once(',').unwrap();
        let local = rest.contains("TEST_F_LOCAL") || name.ends_with("_mock");
        (name.trim().to_owned(), local)
    });
    let entries: BTreeMap<_, _> = entries.collect();
    let rows = rows()
        .into_iter()
        .map(|row| (row.name, row.verdict == Verdict::Local));
    assert_eq!(
        entries,
        rows.collect(),
        "tests of the suite, and which of them need no broker"
    );
}

/// One process of the suite: all tests with one number, or one subtest, against one server.
struct Job {
    number: String,
    part: Option<String>,
    setup: String,
    /// What has to pass in it.
    passes: Vec<String>,
    /// What must not pass, or the table is wrong.
    passes_not: Vec<String>,
}

fn jobs(rows: &[Row], try_all: bool) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let by_itself = |row: &&Row| !matches!(row.verdict, Verdict::Local | Verdict::Manual);
    for row in rows.iter().filter(by_itself) {
        let number = row.name.split('_').next().unwrap();
        let job = |part: Option<&String>| Job {
            number: number.to_owned(),
            part: part.cloned(),
            setup: row.setup.clone(),
            passes: part.map(|_| row.name.clone()).into_iter().collect(),
            passes_not: Vec::new(),
        };
        if let Verdict::Parts(parts) = &row.verdict {
            jobs.extend(parts.iter().map(|part| job(Some(part))));
        }
        if !try_all && row.verdict != Verdict::Pass {
            continue;
        }
        let same = |job: &Job| job.part.is_none() && job.number == number && job.setup == row.setup;
        let at = jobs.iter().position(same).unwrap_or_else(|| {
            jobs.push(job(None));
            jobs.len() - 1
        });
        let to = &mut jobs[at];
        let to = if row.verdict == Verdict::Pass {
            &mut to.passes
        } else {
            &mut to.passes_not
        };
        to.push(row.name.clone());
    }
    jobs
}

/// Runs it; what is wrong with the outcome.
fn run(job: &Job, setup: &Setup) -> Vec<String> {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", LONGEST, "./test-runner", "-p3", "-L"]);
    command
        .args(setup.arguments)
        .current_dir(folder())
        .env_remove("CI");
    command
        .env("TESTS", &job.number)
        .envs(job.part.as_ref().map(|part| ("SUBTESTS", part)));
    command
        .env("RDKAFKA_TEST_CONF", &setup.conf)
        .env("TEST_KAFKA_VERSION", VERSION);
    command.env("KAFKA_PATH", installed().join("java/kafka"));
    command.env("BROKERS", setup.server.kafka.to_string());
    command.env("LD_LIBRARY_PATH", "../src:../src-cpp");
    command.envs(setup.variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let passed = |name: &&String| text.contains(&format!("Test {name} PASSED"));
    let mut wrong = Vec::new();
    let missing: Vec<_> = job.passes.iter().filter(|name| !passed(name)).collect();
    if !missing.is_empty() || (job.passes_not.is_empty() && !output.status.success()) {
        let begin = |line: &&str| !line.contains("TEST FAILURE") && !line.contains("SKIPPING");
        let said: Vec<_> = text.lines().skip_while(begin).take(5).collect();
        let (part, status) = (&job.part, output.status);
        wrong.push(format!(
            "{} {part:?} {missing:?} {status}: {}",
            job.number,
            said.join("\n")
        ));
    }
    let better = job.passes_not.iter().filter(passed);
    wrong.extend(better.map(|name| format!("{name} passes now: say so in the table")));
    wrong
}

/// Tests with lower numbers run with every `cargo xtask test`, all of them with `cargo xtask soak`.
const QUICK_BELOW: &str = "0030";

#[test]
fn librdkafkas_suite_does_what_the_table_says() {
    let scratch = tempfile::tempdir().unwrap();
    let setups = Setup::all(scratch.path());
    let rows = rows();
    let mut jobs = jobs(&rows, crate::soak());
    if !crate::soak() {
        jobs.retain(|job| job.number.as_str() < QUICK_BELOW);
    }
    jobs.reverse();
    jobs.sort_by_key(|job| job.number == SLOWEST);
    let (jobs, wrong) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(job) = jobs.lock().unwrap().pop() else {
                return;
            };
            let setup = setups.get(&*job.setup).expect("the table names a setup");
            let outcome = run(&job, setup);
            wrong.lock().unwrap().extend(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} problems:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    let count = |is: fn(&Verdict) -> bool| rows.iter().filter(|row| is(&row.verdict)).count();
    let pass = count(|verdict| *verdict == Verdict::Pass);
    let parts = count(|verdict| matches!(verdict, Verdict::Parts(_)));
    let (local, skip) = (
        count(|v| *v == Verdict::Local),
        count(|v| *v == Verdict::Skip),
    );
    report(
        "librdkafka's suite",
        &if crate::soak() {
            format!("{pass} passed, {parts} in parts, {skip} not served, {local} need no broker")
        } else {
            format!("those below {QUICK_BELOW} passed; all of them: cargo xtask soak suite")
        },
    );
}
