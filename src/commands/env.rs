//! `rcluster env`.

use std::process::ExitCode;

use super::Call;
use crate::cli::{EnvArgs, Format};
use crate::error::{Error, Result};
use crate::ops::{self, EnvFormat};
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
    let text = report::variables(&answer.variables, format, random)?;
    // Before the values: whatever comes after them may already show one.
    if format == EnvFormat::Github && !call.report.json {
        for line in report::masks(&answer.variables) {
            call.report.say(&line);
        }
    }
    call.answer(&Shown::Env(&answer, &text))?;
    Ok(ExitCode::SUCCESS)
}
