//! A password from a file, an environment variable, or whoever sits at the terminal; never from
//! the command line, which every user of the machine can read.

use std::io::{BufRead, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::api::read_secret;
use crate::exit::{Exit, Failure};
use crate::out;

/// The longest, in bytes.
const PASSWORD_MAX: u64 = 1024;

#[derive(Debug, Args)]
pub(super) struct Source {
    /// A file that holds the password.
    #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
    password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    #[arg(long, value_name = "NAME")]
    password_env: Option<String>,
}

impl Source {
    pub(super) fn read(&self, user: &str) -> Result<String, Failure> {
        let password = match (&self.password_file, &self.password_env) {
            (Some(path), _) => read_secret(path)?,
            (None, Some(name)) => std::env::var(name).map_err(|_| {
                Failure::new(
                    Exit::Usage,
                    format!("environment variable {name} holds no text"),
                )
            })?,
            (None, None) => ask(user)?,
        };
        if password.is_empty() {
            return Err(Failure::new(Exit::Usage, "the password is empty"));
        }
        Ok(password)
    }
}

fn ask(user: &str) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(line()?);
    }
    let before = tcgetattr(&stdin).map_err(std::io::Error::from)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &silent).map_err(std::io::Error::from)?;
    out::prompt(format_args!("password for {user}: "));
    let first = line();
    out::prompt(format_args!("\nthe same again: "));
    let second = line();
    tcsetattr(&stdin, OptionalActions::Now, &before).map_err(std::io::Error::from)?;
    out::prompt(format_args!("\n"));
    let first = first?;
    if first != second? {
        return Err(Failure::new(Exit::Usage, "the two are not the same"));
    }
    Ok(first)
}

fn line() -> std::io::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(PASSWORD_MAX)
        .read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
