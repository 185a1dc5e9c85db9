//! `rcluster create`.

use std::process::ExitCode;

use super::Call;
use crate::cli::CreateArgs;
use crate::error::Result;
use crate::ops::{self, CreateWish};
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &CreateArgs) -> Result<ExitCode> {
    let wish = CreateWish {
        primaries: args.primaries,
        replicas: args.replicas,
    };
    if args.dry_run {
        let planned = ops::plan_create(&call.context, wish)?;
        call.answer(&Shown::Planned(&planned))?;
    } else {
        let answer = ops::create(&call.context, wish).await?;
        call.answer(&Shown::Formed(&answer))?;
    }
    Ok(ExitCode::SUCCESS)
}
