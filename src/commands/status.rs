//! `rcluster status`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use super::Call;
use crate::error::Result;
use crate::ops::{self, State};
use crate::report::Shown;
use crate::screen;

/// How wide the picture is where nobody looks at it on a terminal, or on a wider one than eyes need.
const WIDTH: usize = 80;

pub(super) async fn run(call: &Call) -> Result<ExitCode> {
    let answer = ops::status(&call.context).await?;
    let terminal = io::stdout().is_terminal().then(screen::columns).flatten();
    let width = terminal.map_or(WIDTH, |columns| columns.min(120));
    call.answer(&Shown::Status(&answer, width))?;
    Ok(match answer.state {
        State::Ok => ExitCode::SUCCESS,
        State::Stopped => ExitCode::from(3),
        State::Degraded | State::Forming | State::Unformed => ExitCode::from(5),
    })
}
