//! The lines of a server's log, and the times on them.

use std::fmt;

/// How a server marks a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `.`
    Debug,
    /// `-`
    Verbose,
    /// `*`
    Notice,
    /// `#`
    Warning,
}

/// What the process that wrote a line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRole {
    /// `M`
    Primary,
    /// `S`
    Replica,
    /// `C`: a child that saves, or the server before it has read its configuration.
    Child,
    /// `X`
    Sentinel,
}

/// Milliseconds since 1970-01-01, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogTime(pub i64);

/// A time as it is written in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// In UTC.
    Utc(LogTime),
    /// In UTC, down to the second: within a second, lines around it are more exact.
    Second(LogTime),
    /// By the clock on the server's wall, read as if it were in UTC.
    Wall(i64),
}

/// What stands before a line's message, and where the message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// When.
    pub stamp: Stamp,
    /// Who; `None` for a handler of signals, which cannot ask.
    pub role: Option<LogRole>,
    /// How bad.
    pub level: Level,
    /// Where the message begins, in bytes.
    pub message_at: usize,
}

impl Prefix {
    /// The prefix of `line`: `4711:M 23 Nov 2026 00:19:12.123 * `, with Valkey's other forms of time
    /// and its `log-format logfmt`; `None` for what no server wrote by its log function, such as
    /// the report of a crash.
    pub fn of(line: &str) -> Option<Self> {
        if line.starts_with("pid=") {
            return Self::of_logfmt(line);
        }
        let (who, rest) = line.split_once(' ')?;
        let (pid, role) = who.split_once(':')?;
        pid.parse::<u32>().ok()?;
        if role == "signal-handler" {
            let (second, message) = rest.strip_prefix('(')?.split_once(") ")?;
            return Some(Self {
                stamp: Stamp::Second(LogTime(number(second)?.checked_mul(1000)?)),
                role: None,
                level: Level::Notice,
                message_at: line.len() - message.len(),
            });
        }
        let role = match role {
            "M" => LogRole::Primary,
            "S" => LogRole::Replica,
            "C" => LogRole::Child,
            "X" => LogRole::Sentinel,
            _ => return None,
        };
        let (stamp, rest) = read_stamp(rest)?;
        let rest = rest.strip_prefix(' ')?;
        let level = match rest.chars().next()? {
            '.' => Level::Debug,
            '-' => Level::Verbose,
            '*' => Level::Notice,
            '#' => Level::Warning,
            _ => return None,
        };
        let after = rest.get(1..)?;
        let message = after.strip_prefix(' ').unwrap_or(after);
        Some(Self {
            stamp,
            role: Some(role),
            level,
            message_at: line.len() - message.len(),
        })
    }

    fn of_logfmt(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("pid=")?;
        let (pid, rest) = rest.split_once(" role=")?;
        pid.parse::<u32>().ok()?;
        let (role, rest) = rest.split_once(" timestamp=\"")?;
        let role = match role {
            "primary" => LogRole::Primary,
            "replica" => LogRole::Replica,
            "RDB/AOF" => LogRole::Child,
            "sentinel" => LogRole::Sentinel,
            _ => return None,
        };
        let (stamp, rest) = read_stamp(rest)?;
        let rest = rest.strip_prefix("\" level=")?;
        let (level, message) = rest.split_once(" message=")?;
        let level = match level {
            "debug" => Level::Debug,
            "info" | "verbose" => Level::Verbose,
            "notice" => Level::Notice,
            "warning" => Level::Warning,
            _ => return None,
        };
        Some(Self {
            stamp,
            role: Some(role),
            level,
            message_at: line.len() - message.len(),
        })
    }
}

/// The time that `text` begins with, in one of the three forms, and what follows it.
fn read_stamp(text: &str) -> Option<(Stamp, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    match digits {
        1 | 2 => {
            let (wall, rest) = read_legacy(number.parse().ok()?, rest)?;
            Some((Stamp::Wall(wall), rest))
        }
        4 => read_iso(text),
        11..=15 => Some((Stamp::Utc(LogTime(number.parse().ok()?)), rest)),
        _ => None,
    }
}

/// ` Nov 2026 00:19:12.123` behind the day.
fn read_legacy(day: i64, rest: &str) -> Option<(i64, &str)> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let rest = rest.strip_prefix(' ')?;
    let month = MONTHS.iter().position(|month| rest.starts_with(month))?;
    let rest = rest.get(3..)?.strip_prefix(' ')?;
    let year = number(rest.get(..4)?)?;
    let rest = rest.get(4..)?.strip_prefix(' ')?;
    let clock = read_clock(rest)?;
    let month = i64::try_from(month).ok()? + 1;
    Some((
        millis_of(year, month, day)?.checked_add(clock)?,
        rest.get(12..)?,
    ))
}

/// `2026-11-23T00:19:12.123+02:00`.
fn read_iso(text: &str) -> Option<(Stamp, &str)> {
    let day = millis_of(
        number(text.get(..4)?)?,
        number(text.get(4..7)?.strip_prefix('-')?)?,
        number(text.get(7..10)?.strip_prefix('-')?)?,
    )?;
    let clock = read_clock(text.get(10..)?.strip_prefix('T')?)?;
    let zone = text.get(23..29)?;
    let hours = number(zone.get(1..3)?)?;
    let minutes = number(zone.get(3..6)?.strip_prefix(':')?)?;
    let east = (hours * 60 + minutes) * 60_000;
    let east = match zone.get(..1)? {
        "+" => east,
        "-" => -east,
        _ => return None,
    };
    Some((Stamp::Utc(LogTime(day + clock - east)), text.get(29..)?))
}

/// `00:19:12.123`, in milliseconds.
fn read_clock(text: &str) -> Option<i64> {
    let part = |at: usize, length: usize| number(text.get(at..at + length)?);
    let marks = [(2, ":"), (5, ":"), (8, ".")];
    let is_clock = marks
        .iter()
        .all(|(at, mark)| text.get(*at..at + 1) == Some(mark));
    let (hour, minute, second, milli) = (part(0, 2)?, part(3, 2)?, part(6, 2)?, part(9, 3)?);
    (is_clock && hour < 24 && minute < 60 && second <= 60)
        .then_some(((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

fn number(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Midnight of a day, in milliseconds since 1970-01-01.
fn millis_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March: the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    Some(days * 86_400_000)
}

impl fmt::Display for LogTime {
    /// As RFC 3339 has it: `2026-11-23T00:19:12.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        // Days since 0000-03-01, in eras of 400 years.
        let days = days + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + i64::from(month <= 2);
        let (seconds, millis) = (millis / 1000, millis % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(line: &str) -> Option<&str> {
        Some(&line[Prefix::of(line)?.message_at..])
    }

    #[test]
    fn every_form_of_every_server_is_read() {
        let at = LogTime(1_795_393_152_123);
        let wall = Stamp::Wall(at.0);
        let utc = Stamp::Utc(at);
        for (line, stamp, role, level) in [
            (
                "4711:M 23 Nov 2026 00:19:12.123 * Ready",
                wall,
                LogRole::Primary,
                Level::Notice,
            ),
            (
                "1:S 23 Nov 2026 00:19:12.123 # Ready",
                wall,
                LogRole::Replica,
                Level::Warning,
            ),
            (
                "1:C 23 Nov 2026 00:19:12.123 - Ready",
                wall,
                LogRole::Child,
                Level::Verbose,
            ),
            (
                "1:X 23 Nov 2026 00:19:12.123 . Ready",
                wall,
                LogRole::Sentinel,
                Level::Debug,
            ),
            (
                "1:M 2026-11-23T02:19:12.123+02:00 * Ready",
                utc,
                LogRole::Primary,
                Level::Notice,
            ),
            (
                "1:M 2026-11-22T20:49:12.123-03:30 * Ready",
                utc,
                LogRole::Primary,
                Level::Notice,
            ),
            (
                "1:M 1795393152123 * Ready",
                utc,
                LogRole::Primary,
                Level::Notice,
            ),
            (
                "pid=1 role=replica timestamp=\"23 Nov 2026 00:19:12.123\" level=warning message=Ready",
                wall,
                LogRole::Replica,
                Level::Warning,
            ),
        ] {
            let prefix = Prefix::of(line).expect(line);
            assert_eq!(
                (prefix.stamp, prefix.role, prefix.level),
                (stamp, Some(role), level),
                "{line}"
            );
            assert_eq!(message(line), Some("Ready"), "{line}");
        }
        assert_eq!(message("1:M 3 Jan 2026 00:19:12.123 # "), Some(""));
        let handler = "4711:signal-handler (1795393152) Received SIGTERM scheduling shutdown...";
        let prefix = Prefix::of(handler).expect("a prefix");
        assert_eq!(prefix.stamp, Stamp::Second(LogTime(1_795_393_152_000)));
        assert_eq!(
            message(handler),
            Some("Received SIGTERM scheduling shutdown...")
        );
    }

    #[test]
    fn what_no_log_function_wrote_has_no_prefix() {
        for line in [
            "",
            "=== REDIS BUG REPORT START: Cut & paste starting from here ===",
            "4711:signal-handler (x) Received SIGTERM scheduling shutdown...",
            "1:M 32 Nov 2026 00:19:12.123 * x",
            "1:M 23 Nov 2026 00:19 * x",
            "1:M 23 Nov 2026 24:00:00.000 * x",
            "1:M 23 Nov 20266 00:00:00.000 * x",
            "1:Q 23 Nov 2026 00:19:12.123 * x",
            "1:M 23 Nov 2026 00:19:12.123 ! x",
            "1:M 23 Näv 2026 00:19:12.123 * x",
            "1:M 2026-11-23T02:19:12.123+0é:00 * x",
            "x:M 23 Nov 2026 00:19:12.123 * x",
            "pid=1 role=primary timestamp=\"now\" level=notice message=\"x\"",
        ] {
            assert_eq!(Prefix::of(line), None, "{line}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for text in [
            "1970-01-01T00:00:00.000Z",
            "2000-02-29T23:59:59.999Z",
            "2026-11-23T00:19:12.123Z",
            "2027-03-01T00:00:00.000Z",
            "2100-02-28T12:00:00.000Z",
            "2100-03-01T12:00:00.000Z",
        ] {
            let line = format!("1:M {}+00:00 * x", &text[..23]);
            let stamp = Prefix::of(&line).expect(text).stamp;
            let Stamp::Utc(time) = stamp else {
                panic!("{stamp:?}");
            };
            assert_eq!(time.to_string(), text);
        }
    }
}
