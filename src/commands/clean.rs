//! `rcluster clean`.

use std::process::ExitCode;

use super::Call;
use crate::error::Result;
use crate::ops;
use crate::report::Shown;

pub(super) async fn run(call: &Call) -> Result<ExitCode> {
    let cleaned = ops::clean(&call.context).await?;
    call.answer(&Shown::Cleaned(&cleaned))?;
    Ok(ExitCode::SUCCESS)
}
