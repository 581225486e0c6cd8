//! librdkafka's own test suite, against `docs/protocols/kafka-suite.md`: every test of the suite
//! has its row there, and what the table calls `pass` passes. `cargo xtask soak` also tries what
//! the table does not call so: what passes all the same has to move up.

mod certificates;
mod far;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
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
/// What counts on times that a busy machine does not keep: these run one by one, in the end.
const ALONE: [&str; 3] = ["0102", "0114", "0142"];
/// The longest that one of them may take, in seconds; the suite has shorter limits of its own.
const LONGEST: &str = "600";
/// The version of Apache Kafka that the suite is to expect.
const VERSION: &str = "4.0.0";

/// A server that tests of the suite ask for, and how they come to it.
struct Setup {
    server: Server,
    /// Where clients come to it.
    address: SocketAddr,
    /// The suite's configuration file.
    conf: PathBuf,
    arguments: &'static [&'static str],
    variables: Vec<(&'static str, String)>,
}

impl Setup {
    fn new(scratch: &Path, name: &str, settings: Settings<'_>, lines: &str) -> Self {
        let server = Server::start_with(settings);
        let conf = scratch.join(name);
        let address = server.kafka;
        let setup = Self {
            server,
            address,
            conf,
            arguments: &[],
            variables: Vec::new(),
        };
        setup.configure(lines);
        setup
    }

    fn configure(&self, lines: &str) {
        let text = format!("bootstrap.servers={}\n{lines}", self.address);
        std::fs::write(&self.conf, text).unwrap();
    }

    /// All of them, by the name that the table has for each.
    fn all(scratch: &Path) -> BTreeMap<&'static str, Self> {
        let auto = Self::new(scratch, "auto", &[], "");
        let mut noauto = Self::new(scratch, "noauto", &[("TOPICS__AUTO_CREATE", "false")], "");
        noauto.arguments = &["-s", "noautocreate"];
        let sasl = Self::new(
            scratch,
            "sasl",
            &[("KAFKA__SASL", "true"), ("KAFKA__SASL_LIFETIME", "30s")],
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
        let far = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = far.local_addr().unwrap();
        let told = address.to_string();
        let settings: Vec<_> = settings
            .into_iter()
            .chain([("KAFKA__ADVERTISED", &*told)])
            .collect();
        let mut tls_far = Self::new(scratch, "tls-far", &settings, &certificates.lines());
        tls_far.variables = certificates.variables();
        far::pass_on(far, tls_far.server.kafka);
        tls_far.address = address;
        tls_far.configure(&certificates.lines());
        BTreeMap::from([
            ("auto", auto),
            ("noauto", noauto),
            ("sasl", sasl),
            ("tls", tls),
            ("tls-far", tls_far),
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
    /// The servers that it is run against; see [`Setup::all`].
    setups: Vec<String>,
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
            setups: cells[2].split(' ').map(str::to_owned).collect(),
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
    let mut jobs = Vec::new();
    let never = [Verdict::Local, Verdict::Manual];
    for row in rows.iter().filter(|row| !never.contains(&row.verdict)) {
        for setup in &row.setups {
            add(&mut jobs, row, setup, try_all);
        }
    }
    jobs
}

fn add(jobs: &mut Vec<Job>, row: &Row, setup: &str, try_all: bool) {
    let number = row.name.split('_').next().unwrap();
    let job = |part: Option<&String>| Job {
        number: number.to_owned(),
        part: part.cloned(),
        setup: setup.to_owned(),
        passes: part.map(|_| row.name.clone()).into_iter().collect(),
        passes_not: Vec::new(),
    };
    if let Verdict::Parts(parts) = &row.verdict {
        jobs.extend(parts.iter().map(|part| job(Some(part))));
    }
    if !try_all && row.verdict != Verdict::Pass {
        return;
    }
    let same = |job: &Job| job.part.is_none() && job.number == number && job.setup == setup;
    let at = jobs.iter().position(same).unwrap_or_else(|| {
        jobs.push(job(None));
        jobs.len() - 1
    });
    let job = &mut jobs[at];
    let names = if row.verdict == Verdict::Pass {
        &mut job.passes
    } else {
        &mut job.passes_not
    };
    names.push(row.name.clone());
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
    command.env("BROKERS", setup.address.to_string());
    command.env("LD_LIBRARY_PATH", "../src:../src-cpp");
    command.envs(setup.variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let passed = |name: &&String| text.contains(&format!("Test {name} PASSED"));
    let mut wrong = Vec::new();
    let missing: Vec<_> = job.passes.iter().filter(|name| !passed(name)).collect();
    if !missing.is_empty() || (job.passes_not.is_empty() && !output.status.success()) {
        let from = |what: &str| -> Vec<&str> {
            text.lines()
                .skip_while(|line| !line.contains(what))
                .take(5)
                .collect()
        };
        let failures = from("TEST FAILURE");
        let said = if failures.is_empty() {
            from("SKIPPING TEST")
        } else {
            failures
        };
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

#[test]
fn librdkafkas_suite_does_what_the_table_says() {
    let scratch = tempfile::tempdir().unwrap();
    let setups = Setup::all(scratch.path());
    let rows = rows();
    let (alone, mut together): (Vec<_>, Vec<_>) = jobs(&rows, crate::soak())
        .into_iter()
        .partition(|job| ALONE.contains(&&*job.number));
    together.sort_by_key(|job| job.number == SLOWEST);
    let wrong = Mutex::new(Vec::new());
    for (jobs, workers) in [(together, WORKERS), (alone, 1)] {
        let jobs = Mutex::new(jobs);
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
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
    }
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
        &format!("{pass} passed, {parts} in parts, {skip} not served, {local} need no broker"),
    );
}
