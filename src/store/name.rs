//! Names of clusters.

use std::fmt;
use std::str::FromStr;

/// A cluster's name: `^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`. As a file name it can neither leave
/// its directory nor be mistaken for an option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterName(String);

impl ClusterName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=40).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("a name has 1 to 40 lower-case letters, digits and inner hyphens".into())
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_home() {
        for good in ["default", "a", "0", "a-b", &"x".repeat(40)] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-rf",
            "a-",
            "A",
            "a/b",
            "..",
            ".",
            "a.b",
            "../../etc",
            "é",
            "a\n",
            "$(id)",
            "a b",
            &"x".repeat(41),
        ] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad:?}");
        }
    }
}
