//! A server's answer as a person who asked for it gets it: every type of RESP2 and RESP3, binary-safe.

/// One value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Resp {
    /// No value.
    Nil,
    /// An integer.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// A number that fits nowhere else, in digits.
    Big(String),
    /// A simple string: `OK`.
    Status(String),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// A text that is meant to be read.
    Verbatim(String),
    /// An error, its code first.
    Error(String),
    /// A list.
    Array(Vec<Resp>),
    /// A list without an order.
    Set(Vec<Resp>),
    /// What the server sends without being asked.
    Push(Vec<Resp>),
    /// Pairs.
    Map(Vec<(Resp, Resp)>),
}

impl Resp {
    /// The error, if it is one.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// `MOVED` or `ASK`: who has the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The slot.
    pub slot: u16,
    /// The host as the server tells it: an address, a name, or nothing for its own.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it holds for this one command: the slot is on its way there.
    pub ask: bool,
}

impl Redirect {
    /// Reads `MOVED 7056 127.0.0.1:30002`.
    pub fn read(error: &str) -> Option<Self> {
        let mut words = error.split(' ');
        let ask = match words.next()? {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        Some(Self {
            slot,
            host: host.to_owned(),
            port: port.parse().ok()?,
            ask,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_told_from_other_errors() {
        let moved = Redirect::read("MOVED 7056 127.0.0.1:30002").expect("a redirect");
        assert_eq!(
            (moved.slot, &*moved.host, moved.port),
            (7056, "127.0.0.1", 30002)
        );
        assert!(!moved.ask);
        let ask = Redirect::read("ASK 1 ::1:7").expect("a redirect");
        assert_eq!((ask.ask, &*ask.host, ask.port), (true, "::1", 7));
        let own = Redirect::read("MOVED 1 :30002").expect("a redirect");
        assert_eq!(own.host, "");
        for other in [
            "",
            "ERR MOVED",
            "MOVED",
            "MOVED x a:1",
            "MOVED 1 a",
            "MOVED 1 a:b",
            "MOVED 1 a:70000",
        ] {
            assert_eq!(Redirect::read(other), None, "{other}");
        }
    }
}
