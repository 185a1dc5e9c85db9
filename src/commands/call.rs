//! `rcluster call`.

use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use super::Call;
use crate::cli::CallArgs;
use crate::error::Result;
use crate::ops::{self, Called};
use crate::report::Shown;

pub(super) async fn run(call: &Call, args: &CallArgs) -> Result<ExitCode> {
    let words = args.command.iter().map(|word| word.as_bytes().to_vec());
    let words: Vec<Vec<u8>> = words.collect();
    let called = ops::call(&call.context, &args.on, &words).await?;
    call.answer(&Shown::Called(&called, &words))?;
    Ok(if called.iter().all(Called::is_fine) {
        ExitCode::SUCCESS
    } else if called.iter().all(Called::is_refusal) {
        ExitCode::from(8)
    } else {
        ExitCode::FAILURE
    })
}
