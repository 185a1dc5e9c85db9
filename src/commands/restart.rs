//! `rcluster restart`.

use std::process::ExitCode;

use super::Call;
use crate::cli::RestartArgs;
use crate::error::Result;
use crate::ops::{self, RestartWish};
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &RestartArgs) -> Result<ExitCode> {
    let wish = RestartWish {
        targets: args.nodes.clone(),
        grace: args.grace,
        yes: args.yes,
        one_deadline: call.timeout_given,
    };
    let restarted = ops::restart(&call.context, &wish).await?;
    call.answer(&Shown::Restarted(&restarted))?;
    Ok(ExitCode::SUCCESS)
}
