//! `rcluster stop`.

use std::process::ExitCode;

use super::Call;
use crate::cli::StopArgs;
use crate::error::Result;
use crate::ops;
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &StopArgs) -> Result<ExitCode> {
    let stopped = ops::stop(&call.context, args.grace).await?;
    call.answer(&Shown::Stopped(&stopped))?;
    Ok(ExitCode::SUCCESS)
}
