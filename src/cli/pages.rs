//! Manual pages: one for the program and one for each verb, out of clap's own description.

use std::io::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::PASSWORD_VARIABLE;
use super::help::{EXIT_CODES, command, examples, own_exit_codes, remarks};

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The verb, such as `up` or `server install`; none: the program
    #[arg(value_name = "VERB")]
    pub verb: Vec<String>,
    /// Write all pages into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub out: Option<std::path::PathBuf>,
}

/// A manual page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `rcluster`, `rcluster-server-install`.
    pub name: String,
    /// Its text, for groff or mandoc.
    pub roff: String,
    /// The verb's `--help`, where neither is there.
    pub help: String,
}

/// All pages, that of the program first.
pub fn pages() -> Vec<Page> {
    let mut root = command();
    root.build();
    let mut all = Vec::new();
    collect(&root, &[], &mut all);
    all
}

fn collect(command: &Command, above: &[&str], all: &mut Vec<Page>) {
    let path = [above, &[command.get_name()]].concat();
    let roff = page(command, &path).unwrap_or_default();
    all.push(Page {
        name: path.join("-"),
        roff,
        help: command.clone().render_long_help().to_string(),
    });
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        collect(verb, &path, all);
    }
}

fn page(command: &Command, path: &[&str]) -> io::Result<String> {
    let name = path.join("-");
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let command_line = command.clone().display_name(&name).override_usage(usage);
    let man = Man::new(command_line);
    let mut text = Vec::new();
    writeln!(
        text,
        ".TH {} 1 \"{}\" \"rcluster {}\" \"rcluster\"",
        name.to_uppercase(),
        date(),
        env!("CARGO_PKG_VERSION")
    )?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    let mut own = Roff::new();
    for remark in remarks(command) {
        own.control("PP", []);
        own.text([roman(remark)]);
    }
    own.control("SH", ["EXAMPLES"]);
    own.control("EX", []);
    for line in examples(command) {
        own.text([roman(line)]);
    }
    own.control("EE", []);
    own.to_writer(&mut text)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut text)?;
    }
    man.render_options_section(&mut text)?;
    ending(command, path).to_writer(&mut text)?;
    Ok(tidy(&String::from_utf8_lossy(&text)))
}

/// What is the same for all verbs, or nearly so.
fn ending(command: &Command, path: &[&str]) -> Roff {
    let mut roff = Roff::new();
    let tagged = |roff: &mut Roff, tag: &str, text: &str| {
        roff.control("TP", []);
        roff.text([bold(tag)]);
        roff.text([roman(text)]);
    };
    roff.control("SH", ["EXIT STATUS"]);
    if path.last() == Some(&"run") {
        for (code, meaning) in [
            (
                "125",
                "rcluster itself failed; the command did not run, or its cluster could not be removed",
            ),
            ("126", "the command cannot be executed"),
            ("127", "the command was not found"),
            ("128+N", "the command was ended by signal N"),
            ("any other", "that of the command"),
        ] {
            tagged(&mut roff, code, meaning);
        }
    } else {
        if let Some(own) = own_exit_codes(command) {
            let with_end = own.trim_end_matches('.');
            roff.text([roman(format!("Of this verb: {with_end}. Of all:"))]);
        }
        for (code, meaning) in EXIT_CODES {
            tagged(&mut roff, code, meaning);
        }
        tagged(
            &mut roff,
            "129, 130, 143",
            "ended by a hang-up, an interrupt, a termination",
        );
    }
    roff.control("SH", ["FILES"]);
    for (path, what) in [
        (
            "~/.local/state/rcluster/NAME/",
            "a cluster: its manifest, and for each node redis.conf, log and data (see --home)",
        ),
        (
            "~/.local/state/rcluster/NAME/tls/ca.crt",
            "the CA of a cluster with TLS",
        ),
        ("~/.local/state/rcluster/.servers/", "installed servers"),
        (
            "rcluster.toml",
            "settings of a project, in the working directory or above it",
        ),
        ("~/.config/rcluster/config.toml", "settings of the user"),
    ] {
        tagged(&mut roff, path, what);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for option in command.get_arguments() {
        if let (Some(variable), Some(long)) = (option.get_env(), option.get_long()) {
            let what = format!("stands for --{long}");
            tagged(&mut roff, &variable.to_string_lossy(), &what);
        }
    }
    let takes_password = |option: &clap::Arg| option.get_long() == Some("password-file");
    if command.get_arguments().any(takes_password) {
        tagged(
            &mut roff,
            PASSWORD_VARIABLE,
            "the password of the nodes, where no option says one",
        );
    }
    tagged(
        &mut roff,
        "XDG_STATE_HOME, XDG_CONFIG_HOME",
        "in the place of ~/.local/state and ~/.config",
    );
    tagged(&mut roff, "NO_COLOR", "no colours, unless --color says so");
    roff.control("SH", ["SEE ALSO"]);
    let mut others: Vec<String> = match path {
        [_] => Vec::new(),
        [above @ .., _] => vec![above.join("-")],
        [] => Vec::new(),
    };
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    others.extend(verbs.map(|verb| format!("{}-{}", path.join("-"), verb.get_name())));
    let mut parts = Vec::new();
    for other in &others {
        parts.push(bold(other));
        parts.push(roman("(1), "));
    }
    parts.extend([bold("redis-cli"), roman("(1)")]);
    roff.text(parts);
    roff
}

/// The day that the build is said to be of, so that two builds of one release are equal; none if
/// nobody says it.
fn date() -> String {
    let seconds = option_env!("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok());
    seconds.map_or_else(String::new, |seconds| {
        let moment = UNIX_EPOCH + Duration::from_secs(seconds);
        let mut text = humantime::format_rfc3339_seconds(moment).to_string();
        text.truncate("2026-11-23".len());
        text
    })
}

/// The text with the definition that every part begins with only once and at the beginning, and
/// without lines that are broken twice.
fn tidy(text: &str) -> String {
    let is_preamble =
        |line: &&str| line.starts_with(".ie \\n(.g") || line.starts_with(".el .ds Aq");
    let preamble = text.lines().filter(is_preamble).take(2);
    let rest = text.lines().filter(|line| !is_preamble(line));
    let lines: Vec<&str> = preamble.chain(rest).collect();
    let text = lines.join("\n") + "\n";
    text.replace("\n.br\n\n.br\n", "\n.br\n")
        .replace(" \n", "\n")
}
