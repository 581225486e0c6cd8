//! `stentor user`.

use clap::Subcommand;
use net::http::Method;
use serde_json::{Value, json};

use super::api::{Api, encode, list};
use super::password;
use crate::exit::Failure;
use crate::out;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the users.
    #[command(after_help = "Example:\n  stentor user list")]
    List,
    /// Adds a user, or gives one a new password. Without a source the password is asked for.
    #[command(after_help = "Example:\n  stentor user add alice --password-file alice.password")]
    Add {
        /// The name.
        user: String,
        #[command(flatten)]
        password: password::Source,
    },
    /// Deletes a user.
    #[command(after_help = "Example:\n  stentor user delete alice")]
    Delete {
        /// The name.
        user: String,
    },
}

pub(super) async fn run(command: Command, mut api: Api) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = api.get("/v1/users").await?;
            if api.json {
                return Ok(out::json(&answer)?);
            }
            for user in list(&answer, "users").iter().filter_map(Value::as_str) {
                out::line(format_args!("{user}"))?;
            }
            Ok(())
        }
        Command::Add { user, password } => {
            let body = json!({ "password": password.read(&user)? });
            let answer = api.call(Method::PUT, &path(&user), Some(&body)).await?;
            api.done(&answer, format_args!("user {user} has a password"))
        }
        Command::Delete { user } => {
            let answer = api.delete(&path(&user)).await?;
            api.done(&answer, format_args!("user {user} is deleted"))
        }
    }
}

fn path(user: &str) -> String {
    format!("/v1/users/{}", encode(user))
}
