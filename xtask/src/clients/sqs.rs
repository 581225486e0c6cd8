//! Clients of SQS: boto3 in both protocols, moto's tests, the SDKs for JavaScript and Java.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{environment, run};

/// boto3 that speaks JSON, and what moto's tests need.
const JSON: &[&str] = &[
    "boto3==1.44.8",
    "moto[server]==5.2.5",
    "pytest==9.2.0",
    "freezegun==1.5.5",
];
/// The last botocore that speaks Query.
const QUERY: &[&str] = &["botocore==1.31.80", "boto3==1.28.80"];
/// moto, whose sources hold the tests.
const MOTO: &str = "5.2.5";
/// The SDK for Java.
const JAVA: &str = "2.57.8";

pub(super) fn python(_: &Path, into: &Path) -> Result<()> {
    environment(&into.join("sqs"), JSON)?;
    environment(&into.join("sqs-query"), QUERY)
}

pub(super) fn moto(_: &Path, into: &Path) -> Result<()> {
    environment(&into.join("sqs"), JSON)?;
    let folder = into.join("moto");
    let tests = folder.join(format!("moto-{MOTO}/tests/test_sqs"));
    if tests.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    let pip = into.join("sqs/bin/pip");
    run(Command::new(&pip).args(["install", "-q", "setuptools", "wheel"]))?;
    run(Command::new(pip)
        .args(["download", "-q", "--no-deps", "--no-build-isolation"])
        .args(["--no-binary", "moto"])
        .arg(format!("moto=={MOTO}"))
        .current_dir(&folder))?;
    run(Command::new("tar")
        .args(["-xzf", &format!("moto-{MOTO}.tar.gz")])
        .current_dir(&folder))?;
    tests.metadata().context("moto's sources hold no tests")?;
    Ok(())
}

pub(super) fn javascript(sources: &Path, into: &Path) -> Result<()> {
    super::packages(sources, into, "sqsjs", "@aws-sdk/client-sqs")
}

pub(super) fn java(sources: &Path, into: &Path) -> Result<()> {
    let folder = into.join("sqsjava");
    let dependency = |artifact: &str| {
        format!(
            "<dependency><groupId>software.amazon.awssdk</groupId><artifactId>{artifact}</artifactId><version>{JAVA}</version></dependency>"
        )
    };
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>stentor</groupId><artifactId>sqs</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}\
         <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>\
         </dependencies></project>",
        dependency("sqs"),
    );
    super::jars(&folder, &into.join("sqsjava-new"), &pom)?;
    let path = format!("{}/*", folder.join("lib").display());
    run(Command::new("javac")
        .args(["-cp", &path, "-d"])
        .arg(&folder)
        .arg(sources.join("sqsjava/SqsClientTest.java")))
}
