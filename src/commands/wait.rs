//! `rcluster wait`.

use std::process::ExitCode;

use super::Call;
use crate::cli::{Goal, WaitArgs};
use crate::error::Result;
use crate::ops::{self, WaitFor};
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &WaitArgs) -> Result<ExitCode> {
    let goal = match args.goal {
        Goal::Ready => WaitFor::Ready,
        Goal::Serving => WaitFor::Serving,
        Goal::Stopped => WaitFor::Stopped,
    };
    let answer = ops::wait_for(&call.context, goal).await?;
    call.answer(&Shown::Waited(&answer, goal))?;
    Ok(ExitCode::SUCCESS)
}
