//! The clients that the black-box tests use: installed under `target/clients`, once.

pub(crate) mod elasticmq;
pub(crate) mod librdkafka;
pub(crate) mod rabbitmq;
mod sqs;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The versions of the Python clients.
const PYTHON: &[&str] = &[
    "confluent-kafka==2.12.1",
    "kafka-python==3.0.12",
    "aiokafka==0.14.0",
    "lz4",
    "python-snappy",
    "zstandard",
];
/// What speaks each protocol, in one program.
const CROSS: &[&str] = &["confluent-kafka==2.12.1", "pika==1.4.4", "boto3==1.44.8"];
/// The version of the Java client.
const KAFKA: &str = "4.3.0";

type Step = fn(&Path, &Path) -> Result<()>;
/// Every client and how it is installed: from the sources in the first folder, into the second.
const STEPS: &[(&str, Step)] = &[
    ("kcat", kcat),
    ("python", python),
    ("kafkajs", kafkajs),
    ("java", java),
    ("go", go),
    ("librdkafka's suite", librdkafka::install),
    ("boto3", sqs::python),
    ("moto's tests of SQS", sqs::moto),
    ("AWS SDK for JavaScript", sqs::javascript),
    ("AWS SDK for Java", sqs::java),
    ("across protocols", cross),
];

/// A client that could not be installed, and why.
pub(crate) type Missing = (&'static str, String);

/// Installs what is missing; says what could not be had.
pub(crate) fn install(sources: &Path, into: &Path) -> Vec<Missing> {
    let mut missing = Vec::new();
    for &(name, step) in STEPS {
        println!("clients: {name}");
        if let Err(error) = step(sources, into) {
            missing.push((name, format!("{error:#}")));
        }
    }
    missing
}

fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| shown.clone())?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}

fn there(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok()
}

fn kcat(_: &Path, _: &Path) -> Result<()> {
    if there("kcat") {
        return Ok(());
    }
    apt(&["kcat"])
}

fn apt(packages: &[&str]) -> Result<()> {
    run(Command::new("apt-get").args(["-q", "update"]))?;
    let install = ["-q", "-y", "install", "--no-install-recommends"];
    run(Command::new("apt-get").args(install).args(packages))
}

fn python(_: &Path, into: &Path) -> Result<()> {
    environment(&into.join("python"), PYTHON)
}

fn cross(_: &Path, into: &Path) -> Result<()> {
    environment(&into.join("cross"), CROSS)
}

/// Packages of Python in a folder of their own.
fn environment(folder: &Path, wanted: &[&str]) -> Result<()> {
    let done = folder.join("installed");
    let wanted_text = wanted.join("\n");
    if std::fs::read_to_string(&done).is_ok_and(|have| have == wanted_text) {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(folder.join("bin/pip"))
        .args(["install", "-q"])
        .args(wanted))?;
    Ok(std::fs::write(done, wanted_text)?)
}

fn kafkajs(sources: &Path, into: &Path) -> Result<()> {
    packages(sources, into, "kafkajs", "kafkajs")
}

/// What the `package.json` in a folder of the sources names, `main` among it.
fn packages(sources: &Path, into: &Path, name: &str, main: &str) -> Result<()> {
    let folder = into.join(name);
    std::fs::create_dir_all(&folder)?;
    let manifest = std::fs::read(sources.join(name).join("package.json"))?;
    let have = std::fs::read(folder.join("package.json")).unwrap_or_default();
    if have == manifest && folder.join("node_modules").join(main).exists() {
        return Ok(());
    }
    std::fs::write(folder.join("package.json"), manifest)?;
    run(Command::new("npm")
        .args(["install", "--no-audit", "--no-fund"])
        .current_dir(&folder))
}

fn java(sources: &Path, into: &Path) -> Result<()> {
    let folder = into.join("java");
    let jars = folder.join("lib");
    let dependency = |artifact: &str, version: &str, group: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    // The broker's own jar, for one of the console tools is still in it.
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>stentor</groupId><artifactId>clients</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}{}{}{}</dependencies></project>",
        dependency("kafka-clients", KAFKA, "org.apache.kafka"),
        dependency("kafka-tools", KAFKA, "org.apache.kafka"),
        dependency("kafka_2.13", KAFKA, "org.apache.kafka"),
        dependency("slf4j-nop", "1.7.36", "org.slf4j"),
    );
    self::jars(&folder, &into.join("java-new"), &pom)?;
    let path = format!("{}/*", jars.display());
    // librdkafka's suite calls this program of Kafka's distribution.
    let programs = folder.join("kafka/bin");
    std::fs::create_dir_all(&programs)?;
    let topics = programs.join("kafka-topics.sh");
    let class = "org.apache.kafka.tools.TopicCommand";
    std::fs::write(
        &topics,
        format!("#!/bin/sh\nexec java -cp '{path}' {class} \"$@\"\n"),
    )?;
    std::fs::set_permissions(topics, Permissions::from_mode(0o755))?;
    run(Command::new("javac")
        .args(["-cp", &path, "-d"])
        .arg(&folder)
        .arg(sources.join("java/Client.java"))
        .arg(sources.join("java/ClientAdmin.java")))
}

/// What `pom` names, into `lib` of a folder; fetched elsewhere first, so that it is all there or
/// not at all.
fn jars(folder: &Path, fetch: &Path, pom: &str) -> Result<()> {
    let done = folder.join("pom.xml");
    if std::fs::read_to_string(&done).is_ok_and(|have| have == pom) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(fetch)?;
    std::fs::write(fetch.join("pom.xml"), pom)?;
    run(Command::new("mvn")
        .args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=lib",
        ])
        .current_dir(fetch))?;
    Ok(std::fs::rename(fetch, folder)?)
}

/// Where the jars of Kafka are, its broker's too; installed when they are wanted.
///
/// # Errors
/// A missing tool, or jars that cannot be had.
pub(crate) fn kafka(sources: &Path, into: &Path) -> Result<PathBuf> {
    java(sources, into)?;
    Ok(into.join("java/lib"))
}

fn go(sources: &Path, into: &Path) -> Result<()> {
    let folder = into.join("go");
    std::fs::create_dir_all(&folder)?;
    for program in ["franz", "sarama"] {
        run(Command::new("go")
            .args(["build", "-o"])
            .arg(folder.join(program))
            .arg(format!("./{program}"))
            .current_dir(sources.join("go")))?;
    }
    Ok(())
}
