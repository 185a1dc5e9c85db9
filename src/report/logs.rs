//! Lines of logs, as they come.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use serde_json::{Value, json};

use super::Report;
use super::style::Style;
use super::text::push;
use crate::cluster::{Level, LogRole};
use crate::error::NodeProblem;
use crate::ops::{Emptied, Exported, NodeLine};

/// Writes lines of logs to standard output. It keeps none: logs may be large.
#[derive(Debug)]
pub struct LogPrinter {
    report: Report,
    form: Form,
    out: io::Stdout,
    lines: u64,
}

#[derive(Debug)]
enum Form {
    Text,
    /// One document, written piece by piece; with its beginning.
    Document(String),
    /// One document a line, because there is no end.
    Stream,
}

impl LogPrinter {
    /// A printer for the logs of the cluster `name`; `endless` if they are followed.
    pub fn new(report: &Report, name: &str, endless: bool) -> Self {
        let form = match (report.json, endless) {
            (false, _) => Form::Text,
            (true, true) => Form::Stream,
            (true, false) => Form::Document(name.to_string()),
        };
        Self {
            report: report.clone(),
            form,
            out: io::stdout(),
            lines: 0,
        }
    }

    /// Writes `lines`, so that they can be read now.
    pub fn lines(&mut self, lines: &[NodeLine]) -> io::Result<()> {
        let mut text = String::new();
        for line in lines {
            match &self.form {
                Form::Text => text += &prefixed(line, self.report.out),
                Form::Document(name) => {
                    text += &if self.lines == 0 {
                        beginning(name)
                    } else {
                        ",".to_owned()
                    };
                    text += &fields(line).to_string();
                }
                Form::Stream => {
                    text += &super::json::document(fields(line));
                }
            }
            self.lines += 1;
        }
        if text.is_empty() {
            return Ok(());
        }
        let mut out = self.out.lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// All lines are written; `problems` is what could not be read.
    pub fn end(&mut self, problems: &[NodeProblem]) -> io::Result<()> {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        match &self.form {
            Form::Document(name) => {
                let start = if self.lines == 0 {
                    beginning(name)
                } else {
                    String::new()
                };
                let mut out = self.out.lock();
                writeln!(out, "{start}],\"problems\":{}}}", json!(problems))?;
                out.flush()
            }
            Form::Text | Form::Stream => {
                for problem in problems {
                    let note = self.report.err.warn("note:");
                    self.report.say(&format!("{note} {problem}"));
                }
                Ok(())
            }
        }
    }
}

/// The text of `logs --export`.
pub(super) fn exported(out: &mut String, exported: &Exported, style: Style) {
    for NodeProblem { node, message, .. } in &exported.problems {
        push(out, &format!("{} {node} {message}", style.bad("!")));
    }
    push(
        out,
        &format!(
            "Exported {} files to {}",
            exported.files.len(),
            exported.directory.display()
        ),
    );
}

/// The document of `logs --export`.
pub(super) fn exported_document(exported: &Exported) -> Value {
    json!({
        "name": exported.name,
        "directory": exported.directory,
        "files": exported.files,
        "problems": exported.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// The text of `clean --logs`.
pub(super) fn emptied(out: &mut String, emptied: &Emptied) {
    let logs = match emptied.logs.len() {
        0 => "unchanged: there are no logs".to_owned(),
        1 => "Emptied 1 log".to_owned(),
        n => format!("Emptied {n} logs"),
    };
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let size = emptied.bytes as f64 / f64::from(1 << 20);
    push(
        out,
        &if emptied.logs.is_empty() {
            logs
        } else {
            format!("{logs} of {size:.1} MiB")
        },
    );
    for path in &emptied.left {
        push(
            out,
            &format!("  left alone, no log of a server: {}", path.display()),
        );
    }
}

/// The document of `clean --logs`.
pub(super) fn emptied_document(emptied: &Emptied) -> Value {
    json!({
        "name": emptied.name,
        "changed": !emptied.logs.is_empty(),
        "logs": emptied.logs,
        "bytes": emptied.bytes,
        "left": emptied.left,
    })
}

impl AsFd for LogPrinter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.as_fd()
    }
}

/// A document up to its first line.
fn beginning(name: &str) -> String {
    let start = super::json::document(json!({ "name": name }));
    format!("{},\"lines\":[", start.trim_end().trim_end_matches('}'))
}

/// A line behind the port of its node, with its end.
pub(super) fn prefixed(line: &NodeLine, style: Style) -> String {
    let port = format!("{:>5} |", line.addr.port);
    format!("{} {}\n", style.node(line.index, &port), line.line)
}

fn fields(line: &NodeLine) -> Value {
    json!({
        "node": line.addr.to_string(),
        "index": line.index,
        "time": line.time.map(|time| time.to_string()),
        "role": line.role.map(|role| match role {
            LogRole::Primary => "primary",
            LogRole::Replica => "replica",
            LogRole::Child => "child",
            LogRole::Sentinel => "sentinel",
        }),
        "level": line.level.map(|level| match level {
            Level::Debug => "debug",
            Level::Verbose => "verbose",
            Level::Notice => "notice",
            Level::Warning => "warning",
        }),
        "text": line.message(),
    })
}
