//! `rcluster env`.

use std::env::var_os;
use std::process::ExitCode;

use super::Call;
use crate::cli::{EnvArgs, Format};
use crate::error::{Error, Result};
use crate::ops::{self, EnvFormat, VARIABLES, Variable};
use crate::report::{self, Shown};
use crate::sys;

pub(super) async fn run(call: &Call, args: &EnvArgs) -> Result<ExitCode> {
    let answer = ops::env(&call.context, args.with_secrets).await?;
    let format = match args.format {
        Format::Sh => EnvFormat::Sh,
        Format::Fish => EnvFormat::Fish,
        Format::Dotenv => EnvFormat::Dotenv,
        Format::Github => EnvFormat::Github,
        Format::Json => EnvFormat::Json,
    };
    let random = sys::random_bytes().map_err(|source| Error::Io {
        what: "get random numbers".into(),
        source,
    })?;
    let stale = stale(&answer.variables);
    let text = report::variables(&answer.variables, &stale, format, random)?;
    // Before the values: whatever comes after them may already show one.
    if format == EnvFormat::Github && !call.report.json {
        for line in report::masks(&answer.variables) {
            call.report.say(&line);
        }
    }
    call.answer(&Shown::Env(&answer, &text))?;
    Ok(ExitCode::SUCCESS)
}

/// Variables that somebody's environment has of another cluster, and that this one does not set: programs
/// would go there, or tell this one the other's password. Secrets of this very cluster, from a call
/// with `--with-secrets` before, are as good as they were.
fn stale(variables: &[Variable]) -> Vec<&'static str> {
    let is_told = |name: &&str| variables.iter().any(|variable| variable.name == *name);
    let is_same = variables
        .iter()
        .filter(|variable| ["RCLUSTER_NAME", "RCLUSTER_HOME"].contains(&variable.name))
        .all(|variable| var_os(variable.name).is_some_and(|value| value == *variable.expose()));
    let is_secret = |name: &&str| ["REDIS_PASSWORD", "REDISCLI_AUTH"].contains(name);
    let names = VARIABLES.into_iter();
    names
        .filter(|name| var_os(name).is_some() && !is_told(name) && !(is_same && is_secret(name)))
        .collect()
}
