//! `rcluster status`.

use std::process::ExitCode;

use super::Call;
use crate::error::Result;
use crate::ops::{self, State};
use crate::report::Shown;

pub(super) async fn run(call: &Call) -> Result<ExitCode> {
    let answer = ops::status(&call.context).await?;
    call.answer(&Shown::Status(&answer))?;
    Ok(match answer.state {
        State::Ok => ExitCode::SUCCESS,
        State::Stopped => ExitCode::from(3),
        State::Degraded | State::Forming | State::Unformed => ExitCode::from(5),
    })
}
