//! RabbitMQ as a peer: the newest that Debian's packages have, in a root folder of its own, because
//! it needs a newer system than it may find. Nothing outside that folder is touched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::run;

/// The release whose packages are taken.
const SUITE: &str = "forky";
/// The server, and what its scripts call.
const PACKAGES: [&str; 17] = [
    "rabbitmq-server",
    "dash",
    "bash",
    "coreutils",
    "sed",
    "grep",
    "gawk",
    "findutils",
    "hostname",
    "util-linux",
    "login",
    "procps",
    "base-files",
    "libc-bin",
    "perl-base",
    "ncurses-base",
    "base-passwd",
];
/// Folders of a merged system that are links into `usr`.
const LINKS: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// A RabbitMQ that can be started by whoever may make a root folder.
pub(crate) struct RabbitMq {
    /// Its root folder.
    pub(crate) root: PathBuf,
    /// Its version.
    pub(crate) version: String,
}

/// Downloads and unpacks it in `into/rabbitmq`, once.
///
/// # Errors
/// No apt, no package, no room.
pub(crate) fn install(into: &Path) -> Result<RabbitMq> {
    let folder = into.join("rabbitmq");
    let (root, done) = (folder.join("root"), folder.join("installed"));
    if let Ok(version) = std::fs::read_to_string(&done) {
        return Ok(RabbitMq { root, version });
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let packages = download(&folder)?;
    for name in LINKS {
        std::fs::create_dir_all(root.join("usr").join(name))?;
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    let mut version = None;
    for package in &packages {
        unpack(package, &root)?;
        let name = package.file_name().and_then(|name| name.to_str());
        let mut parts = name.unwrap_or_default().split('_');
        if parts.next() == Some("rabbitmq-server") {
            version = parts.next().map(str::to_owned);
        }
    }
    for name in [
        "proc",
        "dev",
        "tmp",
        "root",
        "var/lib/rabbitmq",
        "var/log/rabbitmq",
    ] {
        std::fs::create_dir_all(root.join(name))?;
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\n")?;
    std::fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    let version = version.context("no package of RabbitMQ")?;
    std::fs::write(done, &version)?;
    Ok(RabbitMq { root, version })
}

/// Where this system has its packages from.
fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(COMPONENT)"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let main = text.lines().find_map(|line| line.strip_suffix(" main"));
    Ok(main
        .context("apt knows no archive; run `apt-get update`")?
        .to_owned())
}

/// All packages that are needed, as files.
fn download(folder: &Path) -> Result<Vec<PathBuf>> {
    for name in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let folder = folder.canonicalize()?;
    let sources = folder.join("sources.list");
    std::fs::write(&sources, format!("deb {} {SUITE} main\n", mirror()?))?;
    std::fs::write(folder.join("status"), "")?;
    let apt = || {
        let mut command = Command::new("apt-get");
        for (key, path) in [
            ("Dir::State", folder.join("state")),
            ("Dir::State::status", folder.join("status")),
            ("Dir::Cache", folder.join("cache")),
            ("Dir::Etc::sourcelist", sources.clone()),
            ("Dir::Etc::sourceparts", PathBuf::from("/dev/null")),
        ] {
            command.arg("-o").arg(format!("{key}={}", path.display()));
        }
        command
            .args([
                "-o",
                "APT::Install-Recommends=false",
                "-o",
                "APT::Sandbox::User=root",
            ])
            .arg("-qq");
        command
    };
    run(apt().arg("update"))?;
    run(apt()
        .args(["-y", "--download-only", "install"])
        .args(PACKAGES))?;
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(folder.join("cache/archives"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            packages.push(path);
        }
    }
    packages.sort();
    Ok(packages)
}

fn unpack(package: &Path, root: &Path) -> Result<()> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()?;
    let input = archive.stdout.take().context("no output")?;
    let unpacked = Command::new("tar")
        .args(["-x", "--keep-directory-symlink", "-C"])
        .arg(root)
        .stdin(input)
        .status()?;
    ensure!(
        archive.wait()?.success() && unpacked.success(),
        "{} cannot be unpacked",
        package.display()
    );
    Ok(())
}
