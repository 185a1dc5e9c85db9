//! `rcluster down`.

use std::process::ExitCode;

use super::Call;
use crate::cli::DownArgs;
use crate::error::Result;
use crate::ops;
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &DownArgs) -> Result<ExitCode> {
    let cleaned = ops::down(&call.context, args.grace).await?;
    call.answer(&Shown::Cleaned(&cleaned))?;
    Ok(ExitCode::SUCCESS)
}
