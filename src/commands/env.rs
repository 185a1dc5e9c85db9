//! `rcluster env`.

use std::env::var_os;
use std::process::ExitCode;

use secrecy::{ExposeSecret as _, SecretString};

use super::Call;
use crate::cli::{EnvArgs, Format};
use crate::error::{Error, Result};
use crate::ops::{self, EnvAnswer, EnvFormat, VARIABLES};
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
    let stale = stale(&answer);
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
/// would go there, or tell this one the other's password. This one's own password, from a call with
/// `--with-secrets` before, is as good as it was.
fn stale(answer: &EnvAnswer) -> Vec<&'static str> {
    let told = &answer.variables;
    let is_told = |name: &&str| told.iter().any(|variable| variable.name == *name);
    let password = answer.password.as_ref().map(SecretString::expose_secret);
    let is_password = |name: &&str| {
        let is_one = ["REDIS_PASSWORD", "REDISCLI_AUTH"].contains(name);
        is_one && var_os(name).is_some_and(|value| password.is_some_and(|known| value == *known))
    };
    let names = VARIABLES.into_iter();
    names
        .filter(|name| var_os(name).is_some() && !is_told(name) && !is_password(name))
        .collect()
}
