//! What servers answer: as redis-cli shows it on a terminal, as it writes it to a pipe, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::style::Style;
use crate::cluster::{Redirect, Resp, is_word, printable, quoted};
use crate::ops::Called;

/// The answer to `words` for a terminal, as redis-cli formats it. Nothing in it steers one.
pub fn formatted(reply: &Resp, words: &[Vec<u8>]) -> String {
    let mut out = String::new();
    match reply {
        Resp::Bulk(text) if is_text(words) => out = lines(&String::from_utf8_lossy(text)),
        reply => format(&mut out, reply, ""),
    }
    out
}

/// The answer as redis-cli writes it to a pipe: bytes as they are.
pub fn raw(reply: &Resp) -> Vec<u8> {
    let joined = |replies: &[Resp]| {
        let all: Vec<Vec<u8>> = replies.iter().map(raw_one).collect();
        all.join(&b'\n')
    };
    let mut bytes = match reply {
        Resp::Array(replies) | Resp::Set(replies) | Resp::Push(replies) => joined(replies),
        reply => raw_one(reply),
    };
    bytes.push(b'\n');
    bytes
}

/// The line that says that a redirect was followed.
pub fn redirected(redirect: &Redirect) -> String {
    format!(
        "-> Redirected to slot [{}] located at {}:{}",
        redirect.slot,
        printable(&redirect.host, 255),
        redirect.port
    )
}

/// Answers to these are texts, and not data.
fn is_text(words: &[Vec<u8>]) -> bool {
    let is = |at, name| is_word(words, at, name);
    let pairs = [
        ("MEMORY", ["MALLOC-STATS", "DOCTOR"]),
        ("CLUSTER", ["NODES", "INFO"]),
        ("CLIENT", ["LIST", "INFO"]),
        ("LATENCY", ["GRAPH", "DOCTOR"]),
    ];
    let mut pairs = pairs.iter();
    is(0, "INFO")
        || is(0, "LOLWUT")
        || pairs.any(|(first, second)| is(0, first) && second.iter().any(|name| is(1, name)))
}

/// A text of several lines; nothing in it steers a terminal.
fn lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        out.push_str(&printable(line, usize::MAX));
        out.push('\n');
    }
    out
}

fn format(out: &mut String, reply: &Resp, prefix: &str) {
    // A string takes whatever is written to it.
    match reply {
        Resp::Nil => writeln!(out, "(nil)"),
        Resp::Int(number) => writeln!(out, "(integer) {number}"),
        Resp::Double(number) => writeln!(out, "(double) {number}"),
        Resp::Bool(is) => writeln!(out, "({is})"),
        Resp::Big(digits) => writeln!(out, "(big number) {}", printable(digits, usize::MAX)),
        Resp::Status(text) => writeln!(out, "{}", printable(text, usize::MAX)),
        Resp::Bulk(bytes) => writeln!(out, "{}", quoted(bytes)),
        Resp::Verbatim(text) => write!(out, "{}", lines(text)),
        Resp::Error(text) => writeln!(out, "(error) {}", printable(text, usize::MAX)),
        Resp::Array(items) => return list(out, items, ") ", "(empty array)", prefix),
        Resp::Set(items) => return list(out, items, "~ ", "(empty set)", prefix),
        Resp::Push(items) => return list(out, items, ") ", "(empty push)", prefix),
        Resp::Map(pairs) => return map(out, pairs, prefix),
    }
    .ok();
}

/// Items with their numbers; those of an inner list stand under the first.
fn list(out: &mut String, items: &[Resp], mark: &str, empty: &str, prefix: &str) {
    if items.is_empty() {
        out.push_str(empty);
        out.push('\n');
        return;
    }
    let width = items.len().to_string().len();
    let inner = format!("{prefix}{}", " ".repeat(width + mark.len()));
    for (at, item) in items.iter().enumerate() {
        // The first stands behind the number of the outer list.
        let before = if at == 0 { "" } else { prefix };
        write!(out, "{before}{:>width$}{mark}", at + 1).ok();
        format(out, item, &inner);
    }
}

fn map(out: &mut String, pairs: &[(Resp, Resp)], prefix: &str) {
    if pairs.is_empty() {
        out.push_str("(empty hash)\n");
        return;
    }
    let width = pairs.len().to_string().len();
    let inner = format!("{prefix}{}", " ".repeat(width + 2));
    for (at, (key, value)) in pairs.iter().enumerate() {
        let before = if at == 0 { "" } else { prefix };
        write!(out, "{before}{:>width$}# ", at + 1).ok();
        format(out, key, &inner);
        out.truncate(out.trim_end_matches('\n').len());
        out.push_str(" => ");
        format(out, value, &inner);
    }
}

fn raw_one(reply: &Resp) -> Vec<u8> {
    match reply {
        Resp::Nil => Vec::new(),
        Resp::Int(number) => number.to_string().into_bytes(),
        Resp::Double(number) => number.to_string().into_bytes(),
        Resp::Bool(is) => is.to_string().into_bytes(),
        Resp::Big(text) | Resp::Status(text) | Resp::Verbatim(text) => text.clone().into_bytes(),
        Resp::Bulk(bytes) => bytes.clone(),
        Resp::Error(text) => format!("{text}\n").into_bytes(),
        Resp::Array(items) | Resp::Set(items) | Resp::Push(items) => {
            let all: Vec<Vec<u8>> = items.iter().map(raw_one).collect();
            all.join(&b'\n')
        }
        Resp::Map(pairs) => {
            let pair = |(key, value): &(Resp, Resp)| [raw_one(key), raw_one(value)].join(&b' ');
            pairs.iter().map(pair).collect::<Vec<_>>().join(&b'\n')
        }
    }
}

/// The answers of many nodes: each behind its node, or below it if any has several lines.
pub(super) fn called(called: &[Called], words: &[Vec<u8>], style: Style) -> String {
    let name = |node: &Called| node.addr.to_string();
    let width = called.iter().map(|node| name(node).len()).max();
    let width = width.unwrap_or_default();
    let texts: Vec<String> = called.iter().map(|node| answer(node, words)).collect();
    let is_long = texts.iter().any(|text| text.lines().count() > 1);
    let mut out = String::new();
    for (node, text) in called.iter().zip(&texts) {
        let paint = |text: &str| {
            if node.is_fine() {
                text.to_owned()
            } else {
                style.bad(text)
            }
        };
        if is_long {
            writeln!(out, "{}", name(node)).ok();
            for line in text.lines() {
                writeln!(out, "  {}", paint(line)).ok();
            }
        } else {
            writeln!(out, "{:width$}  {}", name(node), paint(text.trim_end())).ok();
        }
    }
    out
}

fn answer(node: &Called, words: &[Vec<u8>]) -> String {
    match &node.answer {
        Ok(reply) => formatted(reply, words),
        Err(silence) => format!("(no answer) {}\n", printable(&silence.why, 300)),
    }
}

/// The document of `call`, without its frame.
pub(super) fn document(called: &[Called]) -> Value {
    let node = |node: &Called| {
        let is_fine = node.is_fine();
        let (reply, error) = match &node.answer {
            Ok(Resp::Error(text)) => (Value::Null, json!({ "code": "server", "message": text })),
            Ok(reply) => (json_of(reply), Value::Null),
            Err(silence) => {
                let code = if silence.is_timeout {
                    "timed_out"
                } else if silence.is_refusal {
                    "refused_by_server"
                } else {
                    "unreachable"
                };
                (Value::Null, json!({ "code": code, "message": silence.why }))
            }
        };
        json!({
            "index": node.index,
            "host": node.addr.host,
            "port": node.addr.port,
            "ok": is_fine,
            "reply": reply,
            "error": error,
        })
    };
    let failed = called.iter().filter(|node| !node.is_fine()).count();
    json!({ "failed": failed, "nodes": called.iter().map(node).collect::<Vec<_>>() })
}

/// An answer in JSON. What is no text is `{"hex": …}`; an error within an answer `{"error": …}`.
fn json_of(reply: &Resp) -> Value {
    let all = |items: &[Resp]| Value::Array(items.iter().map(json_of).collect());
    match reply {
        Resp::Nil => Value::Null,
        Resp::Int(number) => json!(number),
        // JSON knows neither infinity nor what is no number.
        Resp::Double(number) if !number.is_finite() => json!(number.to_string()),
        Resp::Double(number) => json!(number),
        Resp::Bool(is) => json!(is),
        Resp::Big(text) | Resp::Status(text) | Resp::Verbatim(text) => json!(text),
        Resp::Bulk(bytes) => std::str::from_utf8(bytes)
            .map_or_else(|_| json!({ "hex": hex(bytes) }), |text| json!(text)),
        Resp::Error(text) => json!({ "error": text }),
        Resp::Array(items) | Resp::Set(items) | Resp::Push(items) => all(items),
        Resp::Map(pairs) => {
            let key = |pair: &(Resp, Resp)| json_of(&pair.0).as_str().map(str::to_owned);
            let keys: Option<Vec<String>> = pairs.iter().map(key).collect();
            let values = pairs.iter().map(|(_, value)| json_of(value));
            match keys {
                Some(keys) => keys.into_iter().zip(values).collect(),
                None => pairs
                    .iter()
                    .map(|(key, value)| json!([json_of(key), json_of(value)]))
                    .collect(),
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").ok();
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Resp {
        Resp::Bulk(text.into())
    }

    /// Shown beside redis-cli 7.0.15 itself.
    #[test]
    fn answers_look_as_in_redis_cli() {
        let inner = Resp::Array(vec![Resp::Int(2), Resp::Int(3)]);
        let all = Resp::Array(vec![
            Resp::Int(1),
            inner,
            Resp::Array(vec![]),
            bulk("x\n\"\x01é"),
            Resp::Nil,
            Resp::Error("ERR no".into()),
            Resp::Status("OK".into()),
        ]);
        assert_eq!(
            formatted(&all, &[]),
            "1) (integer) 1\n2) 1) (integer) 2\n   2) (integer) 3\n3) (empty array)\n4) \"x\\n\\\"\\x01\\xc3\\xa9\"\n5) (nil)\n6) (error) ERR no\n7) OK\n"
        );
        let ten = Resp::Array(
            (1..=10)
                .map(|number| match number {
                    10 => Resp::Array(vec![
                        Resp::Int(10),
                        Resp::Array(vec![Resp::Int(11), Resp::Int(12)]),
                    ]),
                    number => Resp::Int(number),
                })
                .collect(),
        );
        let text = formatted(&ten, &[]);
        assert!(text.starts_with(" 1) (integer) 1\n"), "{text}");
        assert!(
            text.ends_with("10) 1) (integer) 10\n    2) 1) (integer) 11\n       2) (integer) 12\n"),
            "{text}"
        );
        let map = Resp::Map(vec![
            (bulk("a"), Resp::Int(1)),
            (bulk("b"), Resp::Array(vec![Resp::Int(1), Resp::Int(2)])),
        ]);
        assert_eq!(
            formatted(&map, &[]),
            "1# \"a\" => (integer) 1\n2# \"b\" => 1) (integer) 1\n   2) (integer) 2\n"
        );
    }

    #[test]
    fn nothing_that_a_server_says_steers_a_terminal() {
        let evil = "a\x1b]0;x\x07\r\nb\u{202e}";
        for reply in [
            Resp::Status(evil.into()),
            Resp::Error(evil.into()),
            Resp::Verbatim(evil.into()),
            Resp::Big(evil.into()),
            bulk(evil),
            Resp::Array(vec![bulk(evil), Resp::Error(evil.into())]),
        ] {
            for words in [&[][..], &[b"info".to_vec()][..]] {
                let text = formatted(&reply, words);
                let is_clean = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
                assert!(text.chars().all(is_clean), "{text:?}");
            }
        }
        let redirect = Redirect {
            slot: 1,
            host: "\x1b[2J".into(),
            port: 1,
            ask: false,
        };
        assert!(!redirected(&redirect).contains('\x1b'));
    }

    #[test]
    fn pipes_get_bytes_as_they_are() {
        let all = Resp::Array(vec![
            Resp::Int(1),
            Resp::Array(vec![bulk("a"), Resp::Nil]),
            Resp::Bulk(vec![0xff]),
        ]);
        assert_eq!(raw(&all), b"1\na\n\n\xff\n");
        assert_eq!(raw(&Resp::Array(vec![])), b"\n");
        assert_eq!(raw(&Resp::Error("ERR no".into())), b"ERR no\n\n");
    }

    #[test]
    fn json_keeps_types_apart() {
        let all = Resp::Array(vec![
            Resp::Nil,
            Resp::Int(-1),
            Resp::Bool(true),
            Resp::Double(f64::INFINITY),
            bulk("1"),
            Resp::Bulk(vec![0xff, 0]),
            Resp::Error("ERR".into()),
            Resp::Map(vec![(bulk("k"), Resp::Set(vec![]))]),
            Resp::Map(vec![(Resp::Int(1), Resp::Nil)]),
        ]);
        assert_eq!(
            json_of(&all).to_string(),
            r#"[null,-1,true,"inf","1",{"hex":"ff00"},{"error":"ERR"},{"k":[]},[[1,null]]]"#
        );
    }
}
