//! `rcluster version`.

use std::process::ExitCode;

use super::Call;
use crate::error::Result;
use crate::report::Shown;

pub(super) fn run(call: &Call) -> Result<ExitCode> {
    call.answer(&Shown::Version)?;
    Ok(ExitCode::SUCCESS)
}
