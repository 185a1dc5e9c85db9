//! Settings in words: TOML that can be saved as it is.

use super::style::Style;
use crate::cluster::printable;
use crate::settings::{Origin, Overview, Setting};

/// Columns that origins are not pushed to the right of by one long line.
const WIDEST: usize = 40;

/// The settings as a file would have them. What nobody has given stands behind a `#`, so that a
/// saved answer says what was said and no more.
pub(super) fn overview(overview: &Overview, with_origins: bool, style: Style) -> String {
    let mut out = String::new();
    let mut push = |line: &str| {
        out.push_str(line);
        out.push('\n');
    };
    push(&style.dim("# The settings that count; behind a # what is not given, or its default"));
    if with_origins {
        for (level, path) in &overview.files {
            let path = printable(&path.display().to_string(), 4096);
            push(&style.dim(&format!("# {level} file: {path}")));
        }
    }
    let lines: Vec<String> = overview.settings.iter().map(line).collect();
    let short = lines.iter().map(|line| line.chars().count());
    let width = short.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let show = |setting: &Setting, line: &str| {
        let line = if with_origins {
            let origin = printable(&setting.origin.to_string(), 4096);
            format!("{line:width$}  # {origin}")
        } else {
            line.to_owned()
        };
        if line.starts_with('#') {
            style.dim(&line)
        } else {
            line
        }
    };
    // TOML wants what is in no table first.
    let all = || overview.settings.iter().zip(&lines);
    for (setting, line) in all().filter(|(setting, _)| setting.key.len() == 1) {
        push(&show(setting, line));
    }
    for (name, is_set) in &overview.secrets {
        let is = if *is_set { "is set" } else { "is not set" };
        push(&style.dim(&format!("# {name} {is}")));
    }
    let mut open: &[String] = &[];
    for (setting, line) in all() {
        let Some((_, table)) = setting
            .key
            .split_last()
            .filter(|(_, table)| !table.is_empty())
        else {
            continue;
        };
        if table != open {
            let names: Vec<String> = table
                .iter()
                .map(|name| crate::settings::key(name))
                .collect();
            push(&format!("\n[{}]", names.join(".")));
            open = table;
        }
        push(&show(setting, line));
    }
    out
}

fn line(setting: &Setting) -> String {
    let name = setting.key.last().map(|name| crate::settings::key(name));
    let name = name.unwrap_or_default();
    match (&setting.value, &setting.origin) {
        (None, Origin::Environment(variable)) => format!("# {name}: not set, but {variable} is"),
        (None, _) => format!("# {name}: not set"),
        (Some(value), Origin::Default) => format!("# {name} = {value}"),
        (Some(value), _) => format!("{name} = {value}"),
    }
}
