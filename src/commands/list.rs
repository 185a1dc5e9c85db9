//! `rcluster list`.

use std::process::ExitCode;

use super::Call;
use crate::error::Result;
use crate::ops;
use crate::report::Shown;

pub(super) async fn run(call: &Call) -> Result<ExitCode> {
    let clusters = ops::list(&call.context).await?;
    call.answer(&Shown::List(&clusters))?;
    Ok(ExitCode::SUCCESS)
}
