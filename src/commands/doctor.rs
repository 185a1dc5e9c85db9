//! `rcluster doctor`.

use std::process::ExitCode;

use super::Call;
use crate::cli::DoctorArgs;
use crate::error::Result;
use crate::ops::{self, DoctorWish};
use crate::plan::Verdict;
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &DoctorArgs) -> Result<ExitCode> {
    let wish = DoctorWish {
        primaries: args.primaries,
        replicas: args.replicas,
        server: args.server.clone(),
    };
    let findings = ops::doctor(&call.context, &wish).await?;
    call.answer(&Shown::Checked(&findings))?;
    let failed = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed {
        ExitCode::from(10)
    } else {
        ExitCode::SUCCESS
    })
}
