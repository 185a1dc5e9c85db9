//! `rcluster clean`.

use std::process::ExitCode;

use super::Call;
use crate::cli::CleanArgs;
use crate::error::Result;
use crate::ops;
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &CleanArgs) -> Result<ExitCode> {
    if args.logs {
        let emptied = ops::clean_logs(&call.context).await?;
        call.answer(&Shown::Emptied(&emptied))?;
        return Ok(ExitCode::SUCCESS);
    }
    let cleaned = ops::clean(&call.context).await?;
    call.answer(&Shown::Cleaned(&cleaned))?;
    Ok(ExitCode::SUCCESS)
}
