//! `rcluster up`.

use std::process::ExitCode;

use super::{Call, start};
use crate::cli::StartArgs;
use crate::error::Result;
use crate::ops;
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &StartArgs) -> Result<ExitCode> {
    let answer = ops::up(&call.context, &start::wish(args)?).await?;
    call.answer(&Shown::Formed(&answer))?;
    Ok(ExitCode::SUCCESS)
}
