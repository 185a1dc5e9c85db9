//! `rcluster status`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use super::Call;
use crate::error::Result;
use crate::ops::{self, State};
use crate::report::{Shown, Sight};
use crate::screen;

pub(super) async fn run(call: &Call) -> Result<ExitCode> {
    let answer = ops::status(&call.context).await?;
    let terminal = io::stdout().is_terminal().then(screen::columns).flatten();
    let sight = Sight {
        terminal,
        all: call.verbose,
    };
    call.answer(&Shown::Status(&answer, sight))?;
    Ok(match answer.state {
        State::Ok => ExitCode::SUCCESS,
        State::Stopped => ExitCode::from(3),
        State::Degraded | State::Forming | State::Unformed => ExitCode::from(5),
    })
}
