//! `rcluster start`.

use std::fs;
use std::process::ExitCode;

use super::Call;
use crate::cli::StartArgs;
use crate::error::{Error, Result};
use crate::ops::{self, StartWish};
use crate::plan::{parse_conf, parse_set};
use crate::report::Shown;

/// More than any configuration; a larger file is none.
const CONF_LIMIT: u64 = 1 << 20;

pub(super) async fn run(call: &Call, args: &StartArgs) -> Result<ExitCode> {
    let answer = ops::start(&call.context, &wish(args)?).await?;
    call.answer(&Shown::Started(&answer))?;
    Ok(ExitCode::SUCCESS)
}

/// Gives the arguments their meaning, once. Files are read here, so that a bad one is refused
/// before anything is touched.
pub(super) fn wish(args: &StartArgs) -> Result<StartWish> {
    let mut directives = Vec::new();
    if let Some(path) = &args.conf {
        let shown = path.display().to_string();
        // A pipe would be waited for without end, and a device has none.
        let meta = fs::metadata(path);
        if meta.is_ok_and(|meta| !meta.is_file() || meta.len() > CONF_LIMIT) {
            return Err(Error::usage(
                format!("--conf {shown} is no file of at most 1 MiB"),
                "pass a readable text file",
            ));
        }
        let text = fs::read_to_string(path).map_err(|error| {
            Error::usage(
                format!("--conf {shown} cannot be read: {error}"),
                "pass a readable text file",
            )
        })?;
        directives = parse_conf(&shown, &text)?;
    }
    for set in &args.set {
        directives.push(parse_set(set)?);
    }
    let given = args.conf.is_some() || !args.set.is_empty();
    Ok(StartWish {
        primaries: args.primaries,
        replicas: args.replicas,
        port: args.port,
        bus_port: args.bus_port,
        bind: args.bind,
        server: args.server.clone(),
        node_timeout: args.node_timeout,
        directives: given.then_some(directives),
        ephemeral: args.ephemeral,
        yes: args.yes,
        retain: args.retain,
    })
}
