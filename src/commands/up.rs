//! `rcluster up`.

use std::process::ExitCode;

use super::Call;
use crate::error::Result;
use crate::ops::{self, StartWish};
use crate::report::Shown;

pub(super) async fn run(call: &Call, wish: &StartWish) -> Result<ExitCode> {
    let answer = ops::up(&call.context, wish).await?;
    call.answer(&Shown::Formed(&answer))?;
    Ok(ExitCode::SUCCESS)
}
