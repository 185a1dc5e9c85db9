//! `rcluster server`.

use std::process::ExitCode;

use super::Call;
use crate::cli::{InstallArgs, ServerVerb};
use crate::error::Result;
use crate::ops::{self, InstallWish, ServerAnswer};
use crate::report::Shown;

pub(super) async fn run(call: &Call, verb: &ServerVerb) -> Result<ExitCode> {
    let context = &call.context;
    let answer = match verb {
        ServerVerb::List => ServerAnswer::List(ops::list_servers(context).await?),
        ServerVerb::Install(args) => {
            ServerAnswer::Installed(ops::install_server(context, &wish(call, args)).await?)
        }
        ServerVerb::Use(args) => {
            ServerAnswer::Chosen(ops::use_server(context, args.server.as_deref()).await?)
        }
        ServerVerb::Remove(args) => {
            ServerAnswer::Removed(ops::remove_server(context, &args.server).await?)
        }
    };
    call.answer(&Shown::Server(&answer))?;
    Ok(ExitCode::SUCCESS)
}

fn wish(call: &Call, args: &InstallArgs) -> InstallWish {
    InstallWish {
        name: args.server.clone(),
        from: args.from.clone(),
        make: args.make_arg.clone(),
        force: args.force,
        limit: call.timeout_given.then_some(call.context.timeout),
    }
}
