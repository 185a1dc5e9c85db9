//! `rcluster config`, and how every verb gets its settings: files are found, read and made one with
//! the command line.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use super::{Call, NOWHERE, start};
use crate::cli::{CommandLine, ConfigShowArgs, ConfigVerb, PASSWORD_VARIABLE, Parsed};
use crate::error::{Error, Result};
use crate::ops::DEFAULT_PORT;
use crate::plan::{ClientCertificates, ClusterSpec};
use crate::report::Shown;
use crate::settings::{self, Origin, Overview, SettingsFile, Value};

pub(super) fn run(call: &Call, verb: &ConfigVerb) -> Result<ExitCode> {
    match verb {
        ConfigVerb::Show(args) => show(call, args),
    }
}

fn show(call: &Call, args: &ConfigShowArgs) -> Result<ExitCode> {
    // Settings that `up` refuses are not shown: a password may have lost its way into them.
    start::check_words(&args.shape)?;
    let mut settings = call.settings.clone();
    for setting in &mut settings {
        if setting.value.is_none() && setting.origin == Origin::Default {
            setting.value = default_of(call, &setting.key[0]);
        }
    }
    let overview = Overview {
        settings,
        files: call.files.clone(),
        secrets: vec![(
            PASSWORD_VARIABLE.into(),
            env::var_os(PASSWORD_VARIABLE).is_some(),
        )],
    };
    call.answer(&Shown::Settings(&overview, args.origin))?;
    Ok(ExitCode::SUCCESS)
}

/// The value of an option that nobody gives, where the option itself does not know it.
fn default_of(call: &Call, key: &str) -> Option<Value> {
    let spec = ClusterSpec::default();
    let number = |number: usize| i64::try_from(number).ok().map(Value::Integer);
    let text = |text: &str| Some(Value::Text(text.into()));
    match key {
        "home" => {
            let home = call.context.home.path();
            (home != Path::new(NOWHERE)).then(|| Value::Text(home.display().to_string()))
        }
        "primaries" => number(spec.primaries),
        "replicas" => number(spec.replicas),
        "node-timeout" => {
            let timeout = std::time::Duration::from_millis(spec.node_timeout_ms);
            text(&humantime::format_duration(timeout).to_string())
        }
        "port" => number(DEFAULT_PORT.into()),
        "bus-port" | "tls-port" => text("auto"),
        "bind" => Some(Value::List(
            spec.binds()
                .map(|bind| Value::Text(bind.to_string()))
                .collect(),
        )),
        "user" => text("default"),
        "tls-auth-clients" => text(ClientCertificates::Optional.word()),
        _ => None,
    }
}

/// The files that count for `line`, the stronger first; and what is to be said of others.
pub(super) fn files(line: &CommandLine) -> Result<(Vec<SettingsFile>, Vec<String>)> {
    let (mut files, mut notes) = (Vec::new(), Vec::new());
    if !line.wants_files() {
        return Ok((files, notes));
    }
    for place in settings::sources(line.config())? {
        match settings::read(&place) {
            Ok(file) => files.push(file),
            // Nothing in it could matter.
            Err(error) if !line.takes_shape() && line.names_its_cluster() => {
                notes.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok((files, notes))
}

/// Says of a complaint about an option which file gave the option, if one did.
pub(super) fn explain(error: Error, parsed: &Parsed) -> Error {
    match error {
        Error::Usage { message, hint } => Error::Usage {
            message: {
                let behind = parsed.file_behind(&message);
                said_by(behind.or_else(|| parsed.file_behind(&hint)), message)
            },
            hint,
        },
        Error::Unfit { message, hint } => Error::Unfit {
            message: said_by(parsed.file_behind_program(&message), message.clone()),
            hint,
        },
        Error::ShapeDiffers { name, differences } => Error::ShapeDiffers {
            name,
            differences: differences
                .into_iter()
                .map(|difference| match parsed.file_behind(&difference) {
                    Some(origin) => format!("{difference} (from {origin})"),
                    None => difference,
                })
                .collect(),
        },
        other => other,
    }
}

fn said_by(origin: Option<&Origin>, message: String) -> String {
    match origin {
        Some(origin) => format!("{origin}: {message}"),
        None => message,
    }
}
