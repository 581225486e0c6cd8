//! librdkafka with its own test suite, from the sources that the crate `rdkafka-sys` carries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::run;

/// The crate's version; what follows the plus sign is librdkafka's.
const VERSION: &str = "4.10.0+2.12.1";
/// What the Debian packages bring; without one of them some tests would skip themselves.
const PACKAGES: [&str; 4] = ["libssl-dev", "zlib1g-dev", "libzstd-dev", "rapidjson-dev"];
/// The same, as librdkafka's configuration calls it.
const FEATURES: [&str; 4] = ["WITH_SSL", "WITH_ZLIB", "WITH_ZSTD", "WITH_RAPIDJSON"];

/// Builds library and suite in `into/librdkafka`, once for each version.
///
/// # Errors
/// A missing compiler or library, or a crate that cannot be had.
pub(super) fn install(_: &Path, into: &Path) -> Result<()> {
    let folder = into.join("librdkafka");
    let done = folder.join("installed");
    let wanted = format!("{VERSION} {}", FEATURES.join(" "));
    if std::fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    packages()?;
    sources(into, &folder)?;
    let options = ["--disable-curl", "--disable-sasl"];
    run(Command::new("./configure")
        .args(options)
        .current_dir(&folder))?;
    let config = std::fs::read_to_string(folder.join("Makefile.config"))?;
    for feature in FEATURES {
        let on = config.lines().any(|line| {
            let mut words = line.split('=').map(str::trim);
            words.next() == Some(feature) && words.next() == Some("y")
        });
        ensure!(on, "no {feature}: it needs {}", PACKAGES.join(", "));
    }
    let jobs = format!("-j{}", std::thread::available_parallelism()?);
    run(Command::new("make")
        .args([&jobs, "libs"])
        .current_dir(&folder))?;
    let tests = folder.join("tests");
    run(Command::new("make")
        .args([&jobs, "build"])
        .current_dir(tests))?;
    Ok(std::fs::write(done, wanted)?)
}

/// Installs the packages when that is allowed; otherwise the configuration says what is missing.
fn packages() -> Result<()> {
    let there = Command::new("dpkg").arg("-s").args(PACKAGES).output();
    let have = there.is_ok_and(|output| output.status.success());
    let root = Command::new("id").arg("-u").output();
    let root = root.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if have || !root {
        return Ok(());
    }
    super::apt(&PACKAGES)
}

/// Lets cargo fetch the crate, and takes librdkafka's sources out of it.
fn sources(into: &Path, folder: &Path) -> Result<()> {
    let fetch = into.join("librdkafka-crate");
    std::fs::create_dir_all(fetch.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n\
         [dependencies]\nrdkafka-sys = {{ version = \"={VERSION}\", default-features = false }}\n"
    );
    std::fs::write(fetch.join("Cargo.toml"), manifest)?;
    std::fs::write(fetch.join("src/lib.rs"), "")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["vendor", "-q", "vendor"])
        .current_dir(&fetch))?;
    std::fs::rename(fetch.join("vendor/rdkafka-sys/librdkafka"), folder)?;
    Ok(std::fs::remove_dir_all(fetch)?)
}

/// The program `rdkafka_performance`, built once it is wanted; `into` is where the clients are.
///
/// # Errors
/// As for [`install`].
pub(crate) fn performance(into: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(into)?;
    install(into, into)?;
    let examples = into.join("librdkafka/examples");
    run(Command::new("make")
        .arg("rdkafka_performance")
        .current_dir(&examples))?;
    Ok(examples.join("rdkafka_performance"))
}
