//! What a check found: the sentence of `rcluster doctor`, and the reason why a verb refuses.

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It works, and may not for long, or not for everybody.
    Warn,
    /// It cannot work.
    Fail,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, for programs: `open_files`.
    pub id: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// One sentence with the numbers.
    pub message: String,
    /// What to do, in the imperative; there unless all is well.
    pub fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(id: &'static str, message: impl Into<String>) -> Self {
        Self {
            id,
            verdict: Verdict::Ok,
            message: message.into(),
            fix: None,
        }
    }

    /// It works, but.
    pub fn warn(id: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            id,
            verdict: Verdict::Warn,
            message: message.into(),
            fix: Some(fix.into()),
        }
    }

    /// It cannot work.
    pub fn fail(id: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            id,
            verdict: Verdict::Fail,
            message: message.into(),
            fix: Some(fix.into()),
        }
    }
}
