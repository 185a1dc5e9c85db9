//! Variables, quoted for whoever reads them. Quoting is a matter of safety: a value may be a path or
//! a password of any characters, and shells run what is written here.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::ops::{EnvAnswer, EnvFormat, Variable};

/// `variables` as `format` has them, and the end of those that are `stale` where the format can tell it.
/// `random` makes a delimiter that no value can foresee.
pub fn variables(
    variables: &[Variable],
    stale: &[&str],
    format: EnvFormat,
    random: [u8; 20],
) -> Result<String> {
    let mut text = String::new();
    for name in stale {
        match format {
            EnvFormat::Sh => writeln!(text, "unset {name}"),
            EnvFormat::Fish => writeln!(text, "set -e {name}"),
            EnvFormat::Dotenv | EnvFormat::Github | EnvFormat::Json => Ok(()),
        }
        .ok();
    }
    for variable in variables {
        let (name, value) = (variable.name, variable.expose());
        // A string takes whatever is written to it.
        match format {
            EnvFormat::Sh => writeln!(text, "export {name}={}", shell_word(value)),
            EnvFormat::Fish => writeln!(text, "set -gx {name} {}", fish(value)),
            EnvFormat::Dotenv => writeln!(text, "{name}={}", dotenv(name, value)?),
            EnvFormat::Github => {
                let end = delimiter(value, random);
                writeln!(text, "{name}<<{end}\n{value}\n{end}")
            }
            EnvFormat::Json => Ok(()),
        }
        .ok();
    }
    if format == EnvFormat::Json {
        text = format!("{}\n", object(variables));
    }
    Ok(text)
}

/// The workflow commands that make a GitHub runner hide the secrets among `variables` in its log:
/// of a URL the password alone, as it stands there.
pub fn masks(variables: &[Variable]) -> Vec<String> {
    let mut masks: Vec<String> = Vec::new();
    for variable in variables.iter().filter(|variable| variable.is_secret()) {
        let value = variable.expose();
        let inner = value
            .split_once("://")
            .and_then(|(_, rest)| Some(rest.split_once('@')?.0.split_once(':')?.1));
        let secret = if variable.name.ends_with("_URL") {
            inner.unwrap_or(value)
        } else {
            value
        };
        // The runner looks for what it hides line by line, and decodes these three.
        for line in secret.split(['\r', '\n']).filter(|line| !line.is_empty()) {
            let mask = format!("::add-mask::{}", line.replace('%', "%25"));
            if !masks.contains(&mask) {
                masks.push(mask);
            }
        }
    }
    masks
}

/// The document of `--json`, without its frame.
pub(super) fn document(answer: &EnvAnswer) -> Value {
    json!({
        "name": answer.name,
        "state": super::text::word(answer.state),
        "env": object(&answer.variables),
    })
}

fn object(variables: &[Variable]) -> Value {
    let pair = |variable: &Variable| (variable.name.to_owned(), json!(variable.expose()));
    Value::Object(variables.iter().map(pair).collect::<Map<_, _>>())
}

/// Whether every reader takes `value` as it is. No `~`, which shells expand after `:`; no `=`, since
/// `=ls` is a path to zsh; no `%`, since `%self` is a number to fish.
fn is_plain(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    !value.is_empty() && value.chars().all(plain)
}

/// `value` as a word of a POSIX shell: within single quotes nothing means anything but the end of them.
pub fn shell_word(value: &str) -> String {
    if is_plain(value) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

/// Within single quotes fish knows two escapes, of the quote and of itself; new lines are written
/// outside of them, so that a variable is a line.
fn fish(value: &str) -> String {
    if is_plain(value) && !value.starts_with('-') {
        return value.to_owned();
    }
    let quoted = value.replace('\\', r"\\").replace('\'', r"\'");
    let quoted = quoted.replace('\n', r"'\n'").replace('\r', r"'\r'");
    format!("'{quoted}'")
}

/// There is no one grammar of `.env` files. What is written here all readers read alike; what they
/// would not is refused.
fn dotenv(name: &str, value: &str) -> Result<String> {
    let has = |marks: &[char]| value.contains(marks);
    if is_plain(value) {
        Ok(value.to_owned())
    } else if !has(&['\'', '\\', '\n', '\r']) && !value.contains("${") {
        Ok(format!("'{value}'"))
    } else if !has(&['"', '\\', '$', '`', '\n', '\r']) {
        Ok(format!("\"{value}\""))
    } else {
        Err(Error::usage(
            format!(
                "{name} has quotes, backslashes, dollars or new lines that .env files cannot tell in a way that all programs understand"
            ),
            "pass another --format, such as json",
        ))
    }
}

/// A line that is none of `value`'s.
fn delimiter(value: &str, random: [u8; 20]) -> String {
    let mut end = "rcluster_".to_owned();
    for byte in random {
        write!(end, "{byte:02x}").ok();
    }
    while value.contains(&end) {
        end.push('_');
    }
    end
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::string::string_regex;

    use super::*;

    /// The variables `T0`, `T1` … after a shell has run `script`, as a program that it starts has
    /// them; `None` where fish or zsh is not installed.
    fn evaluated(shell: &str, script: &str) -> Option<BTreeMap<String, String>> {
        let read = match shell {
            "fish" => "source; exec env -0",
            _ => "eval \"$(cat)\"; exec env -0",
        };
        let mut command = Command::new(shell);
        match shell {
            "fish" => command.arg("--no-config"),
            "zsh" => command.arg("-f"),
            _ => &mut command,
        };
        let may_lack = ["fish", "zsh"].contains(&shell);
        // fish makes directories there.
        let home = tempfile::tempdir().expect("a directory");
        let child = command
            .args(["-c", read])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home.path())
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Err(error) if may_lack && error.kind() == std::io::ErrorKind::NotFound => return None,
            child => child.expect("a shell"),
        };
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(script.as_bytes()).expect("written");
        drop(pipe);
        let output = child.wait_with_output().expect("reaped");
        assert!(output.stderr.is_empty(), "{shell}: {output:?}\n{script}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        let ours = pairs.filter(|(name, _)| name.starts_with('T') && name.len() < 4);
        let owned = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(owned.collect())
    }

    /// What shells make of values: anything, and what is likely to hurt.
    fn values() -> impl Strategy<Value = Vec<String>> {
        let hostile = string_regex("[-'\"\\\\$`(){};&|<>*?~#!%^= \n\r\ta/é\u{1f600}]{0,12}");
        let any = any::<String>().prop_map(|text| text.replace('\0', ""));
        let value = prop_oneof![
            3 => hostile.expect("a pattern"),
            1 => any,
            1 => Just("$(touch /tmp/pwned)`id`".to_owned()),
            1 => Just("-e".to_owned()),
            // zsh, and fish, expand these in words that look plain.
            1 => string_regex("(a[:,])?[=%](ls|self|1)").expect("a pattern"),
            1 => Just("it's\n'; exit 7; '".to_owned()),
            1 => Just("\\'; exit 7; \\'".to_owned()),
        ];
        vec(value, 1..40)
    }

    fn named(values: &[String]) -> BTreeMap<String, String> {
        let pair = |(number, value): (usize, &String)| (format!("T{number}"), value.clone());
        values.iter().enumerate().map(pair).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn shells_read_every_value_as_it_was_and_run_nothing(values in values()) {
            let wanted = named(&values);
            let script = |line: fn(&str, &str) -> String| -> String {
                wanted.iter().map(|(name, value)| line(name, value)).collect()
            };
            let posix = script(|name, value| format!("export {name}={}\n", shell_word(value)));
            for shell in ["sh", "bash", "zsh"] {
                let found = evaluated(shell, &posix);
                let is_missing = shell == "zsh" && found.is_none();
                prop_assert!(is_missing || found.as_ref() == Some(&wanted), "{}: {:?}", shell, found);
            }
            let fish = script(|name, value| format!("set -gx {name} {}\n", fish(value)));
            prop_assert_eq!(fish.lines().count(), wanted.len(), "a line for each");
            if let Some(found) = evaluated("fish", &fish) {
                prop_assert_eq!(found, wanted);
            }
        }

        #[test]
        fn an_env_file_says_the_same_to_those_that_expand_and_those_that_do_not(values in values()) {
            let mut wanted = named(&values);
            let mut script = String::new();
            wanted.retain(|name, value| {
                let Ok(quoted) = dotenv(name, value) else { return false };
                let inner = ['\'', '"'].into_iter().find_map(|mark| {
                    quoted.strip_prefix(mark)?.strip_suffix(mark)
                });
                assert_eq!(inner.unwrap_or(&quoted), value, "what readers see that only unquote");
                script.push_str(&["export ", name, "=", &quoted, "\n"].concat());
                true
            });
            prop_assert_eq!(evaluated("sh", &script), Some(wanted));
        }

        #[test]
        fn a_runner_reads_every_value_as_it_was(value in "[a-z\n<=:]{0,30}", random: [u8; 20]) {
            let end = delimiter(&value, random);
            let text = format!("T<<{end}\n{value}\n{end}\n");
            let mut lines = text.split('\n');
            prop_assert_eq!(lines.next(), Some(&*format!("T<<{end}")));
            let read: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            prop_assert_eq!(read.join("\n"), value);
            prop_assert_eq!(lines.collect::<Vec<_>>(), [""]);
        }
    }

    #[test]
    fn a_delimiter_is_in_no_value() {
        let end = delimiter("", [0xab; 20]);
        let longer = delimiter(&format!("a\n{end}\nEVIL=1"), [0xab; 20]);
        assert!(longer.len() > end.len() && longer.starts_with(&end));
    }

    #[test]
    fn what_env_files_cannot_tell_is_refused_and_plain_values_have_no_quotes() {
        for (value, is_plain) in [
            ("redis://boss@127.0.0.1:30001", true),
            ("a,b", true),
            ("redis://default:a%20b@127.0.0.1:30001", false),
            ("[x", false),
            ("=ls", false),
        ] {
            let quoted = dotenv("T", value).expect("can be told");
            assert_eq!(quoted.starts_with('\''), !is_plain, "{quoted}");
        }
        assert_eq!(dotenv("T", "it's").expect("told"), "\"it's\"");
        assert_eq!(dotenv("T", "$(id) #").expect("told"), "'$(id) #'");
        for bad in ["a\nb", "it's $x", "a\\b", "${HOME}", "'\""] {
            let error = dotenv("T", bad).expect_err(bad);
            assert_eq!(error.exit_code(), 2);
        }
    }
}
