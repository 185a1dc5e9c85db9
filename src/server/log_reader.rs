//! Reading a server's log line by line, from its start, from its last lines or from its end,
//! however large it is: never more than a block of it is in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::UNIX_EPOCH;

use crate::cluster::{Prefix, Stamp};
use crate::sys::dir::{Dir, FileId, file_id};

/// The longest line that is handed out, in bytes; the rest of a longer one is left out.
pub const LINE_LIMIT: usize = 16 << 10;

/// How much is read at once.
const BLOCK: usize = 64 << 10;

/// A log, open for reading.
#[derive(Debug)]
pub struct LogReader {
    file: File,
    id: FileId,
    /// What was read and not handed out yet begins at `begin`.
    buffer: Vec<u8>,
    begin: usize,
    /// Where the next block begins.
    position: u64,
    /// The rest of a line that was too long is left out.
    skips: bool,
}

impl LogReader {
    /// Opens the log `name` in `dir` at its start; `None` if there is none. Fails on a link.
    pub fn open(dir: &Dir, name: &str) -> io::Result<Option<Self>> {
        let Some(file) = dir.open_file(name)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            id: file_id(&file)?,
            file,
            buffer: Vec::new(),
            begin: 0,
            position: 0,
            skips: false,
        }))
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Goes to the first of the last `lines` lines.
    pub fn seek_last(&mut self, lines: u64) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut block = vec![0; BLOCK];
        let mut end = size;
        let mut found = 0;
        while end > 0 {
            let start = end.saturating_sub(BLOCK as u64);
            let length = usize::try_from(end - start).unwrap_or(BLOCK);
            let part = &mut block[..length];
            self.file.seek(SeekFrom::Start(start))?;
            // Truncated meanwhile it is shorter, and read from its start.
            if self.file.read_exact(part).is_err() {
                return self.seek_to(0);
            }
            for (at, _) in part
                .iter()
                .enumerate()
                .rev()
                .filter(|(_, byte)| **byte == b'\n')
            {
                let after = start + at as u64 + 1;
                // The end of the last line begins no line.
                if after == size {
                    continue;
                }
                found += 1;
                if found == lines {
                    return self.seek_to(after);
                }
            }
            end = start;
        }
        self.seek_to(if lines == 0 { size } else { 0 })
    }

    /// Goes to `byte`, or to the start of a file that is shorter.
    pub fn seek(&mut self, byte: u64) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        self.seek_to(if byte <= size { byte } else { 0 })
    }

    fn seek_to(&mut self, position: u64) -> io::Result<()> {
        self.position = self.file.seek(SeekFrom::Start(position))?;
        self.buffer.clear();
        self.begin = 0;
        self.skips = false;
        Ok(())
    }

    /// The time on the line before the place that is read next, else on one after it, neither
    /// further away than a block: that of the next lines if they have none of their own.
    pub fn stamp_near(&mut self) -> io::Result<Option<Stamp>> {
        let start = self.position.saturating_sub(BLOCK as u64);
        let stamp = |line: &str| Some(Prefix::of(line)?.stamp);
        let before = self.text_between(start, self.position)?;
        if let Some(stamp) = before.lines().rev().find_map(stamp) {
            return Ok(Some(stamp));
        }
        let after = self.text_between(self.position, self.position + BLOCK as u64)?;
        Ok(after.lines().find_map(stamp))
    }

    /// When the file was last written, in milliseconds since 1970-01-01.
    pub fn written(&self) -> Option<i64> {
        let modified = self.file.metadata().ok()?.modified().ok()?;
        let since = modified.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// How far east of UTC, in milliseconds, the server's clock is, if the end of the log shows it:
    /// when the file was last written is known in UTC.
    pub fn zone(&mut self) -> io::Result<Option<i64>> {
        let size = self.file.metadata()?.len();
        let text = self.text_between(size.saturating_sub(BLOCK as u64), size)?;
        // A line without a time may be hours younger than the one before it.
        let last = text.lines().next_back().and_then(Prefix::of);
        let Some(Stamp::Wall(wall)) = last.map(|prefix| prefix.stamp) else {
            return Ok(None);
        };
        Ok(self.written().and_then(|at| zone(wall, at)))
    }

    fn text_between(&mut self, start: u64, end: u64) -> io::Result<String> {
        self.file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&self.file).take(end - start).read_to_end(&mut bytes)?;
        self.file.seek(SeekFrom::Start(self.position))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The next line, without its end; `None` if no line is complete.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut looked = self.begin;
        loop {
            let unread = self.buffer.get(looked..).unwrap_or_default();
            if let Some(length) = unread.iter().position(|byte| *byte == b'\n') {
                let line = self.text(looked + length);
                self.begin = looked + length + 1;
                looked = self.begin;
                if std::mem::replace(&mut self.skips, false) {
                    continue;
                }
                return Ok(Some(line));
            }
            if self.buffer.len() - self.begin > LINE_LIMIT {
                let line = self.text(self.begin + LINE_LIMIT) + "…";
                self.begin = self.buffer.len();
                if !std::mem::replace(&mut self.skips, true) {
                    return Ok(Some(line));
                }
            }
            looked = self.buffer.len() - self.begin;
            self.buffer.drain(..self.begin);
            self.begin = 0;
            if !self.read_block()? {
                return Ok(None);
            }
        }
    }

    /// Reads on; `false` at the end.
    fn read_block(&mut self) -> io::Result<bool> {
        let known = self.buffer.len();
        self.buffer.resize(known + BLOCK, 0);
        let read = loop {
            match self.file.read(&mut self.buffer[known..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read = read.inspect_err(|_| self.buffer.truncate(known))?;
        self.buffer.truncate(known + read);
        self.position += read as u64;
        Ok(read > 0)
    }

    /// What is there of a line that is not complete: nothing more will come.
    pub fn rest(&mut self) -> Option<String> {
        let line = self.text(self.buffer.len());
        let skipped = std::mem::replace(&mut self.skips, false);
        self.buffer.clear();
        self.begin = 0;
        (!line.is_empty() && !skipped).then_some(line)
    }

    /// Whether the file was emptied: it is shorter than what was read of it.
    pub fn is_shorter(&self) -> bool {
        let meta = self.file.metadata();
        meta.is_ok_and(|meta| meta.len() < self.position)
    }

    /// Goes back to the start. [`LogReader::rest`] is lost.
    pub fn start_anew(&mut self) -> io::Result<()> {
        self.seek_to(0)
    }

    fn text(&self, end: usize) -> String {
        let bytes = self.buffer.get(self.begin..end).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let limit = bytes.len().min(LINE_LIMIT);
        String::from_utf8_lossy(&bytes[..limit]).into_owned()
    }
}

/// How far east of UTC a clock is that showed `wall` at the time `at`, all in milliseconds; zones
/// differ by quarters of an hour. `None` if there is no such zone: the file was touched later.
pub fn zone(wall: i64, at: i64) -> Option<i64> {
    const QUARTER: i64 = 15 * 60_000;
    let quarters = (wall - at + QUARTER / 2).div_euclid(QUARTER);
    (-12 * 4..=14 * 4)
        .contains(&quarters)
        .then_some(quarters * QUARTER)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Log {
        tmp: tempfile::TempDir,
        file: File,
    }

    impl Log {
        fn new(content: &str) -> Self {
            let tmp = tempfile::tempdir().expect("tempdir");
            let file = File::options()
                .create(true)
                .append(true)
                .open(tmp.path().join("log"))
                .expect("open");
            let log = Self { tmp, file };
            log.add(content);
            log
        }

        fn add(&self, content: &str) {
            (&self.file).write_all(content.as_bytes()).expect("written");
        }

        fn reader(&self) -> LogReader {
            let dir = Dir::open(self.tmp.path()).expect("open");
            LogReader::open(&dir, "log").expect("open").expect("a log")
        }
    }

    fn lines(reader: &mut LogReader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_line().expect("read")).collect()
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let many: Vec<String> = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let many = many.concat();
        let log = Log::new(&many);
        for (wish, count, first) in [
            (0, 0, None),
            (1, 1, Some("line 19999")),
            (10, 10, Some("line 19990")),
            (9_000, 9_000, Some("line 11000")),
            (20_000, 20_000, Some("line 0")),
            (u64::MAX, 20_000, Some("line 0")),
        ] {
            let mut reader = log.reader();
            reader.seek_last(wish).expect("sought");
            let found = lines(&mut reader);
            assert_eq!(
                (found.len(), found.first().map(String::as_str)),
                (count, first)
            );
        }
        // An unfinished line is a line.
        log.add("unfin");
        let mut reader = log.reader();
        reader.seek_last(2).expect("sought");
        assert_eq!(lines(&mut reader), ["line 19999"]);
        log.add("ished\r\n");
        assert_eq!(lines(&mut reader), ["unfinished"]);
        assert_eq!(reader.rest(), None);
    }

    #[test]
    fn what_was_truncated_is_read_from_its_start() {
        let log = Log::new("one\ntwo\nhal");
        let mut reader = log.reader();
        assert_eq!(lines(&mut reader), ["one", "two"]);
        assert!(!reader.is_shorter());
        log.file.set_len(0).expect("truncated");
        log.add("new\n");
        assert_eq!(reader.rest().as_deref(), Some("hal"));
        assert!(reader.is_shorter());
        reader.start_anew().expect("sought");
        assert_eq!(lines(&mut reader), ["new"]);
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_its_share() {
        let log = Log::new("");
        let mut reader = log.reader();
        let part = "x".repeat(100_000);
        for _ in 0..30 {
            log.add(&part);
            lines(&mut reader);
            assert!(reader.buffer.len() <= 2 * BLOCK, "{}", reader.buffer.len());
        }
        log.add("\nnext\n");
        assert_eq!(lines(&mut reader), ["next"]);
        let mut reader = log.reader();
        let first = reader.next_line().expect("read").expect("a line");
        assert_eq!(first.chars().count(), LINE_LIMIT + 1);
        assert!(first.ends_with('…'));
        assert_eq!(lines(&mut reader), ["next"]);
    }

    #[test]
    fn links_and_pipes_are_not_read() {
        let tmp = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(tmp.path()).expect("open");
        assert!(LogReader::open(&dir, "log").expect("none").is_none());
        std::os::unix::fs::symlink("/etc/passwd", tmp.path().join("log")).expect("link");
        assert!(LogReader::open(&dir, "log").is_err());
    }

    #[test]
    fn a_clock_is_known_by_when_the_file_was_written() {
        let at = 1_795_393_152_500;
        let hour = 3_600_000;
        for (wall, wanted) in [
            (0, Some(0)),
            (-400, Some(0)),
            (2 * hour, Some(2 * hour)),
            (-7 * hour / 2 - 300, Some(-7 * hour / 2)),
            (15 * hour, None),
            (-30 * hour, None),
        ] {
            assert_eq!(zone(at + wall, at), wanted, "{wall}");
        }
    }
}
