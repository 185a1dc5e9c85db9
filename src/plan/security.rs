//! Who may come in, and how: passwords, ACL users, TLS. What a manifest records of it has no secret
//! in it; [`Secrets`] and [`Certificates`] are kept elsewhere.

use std::fmt::{self, Write as _};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest password that every server takes (`CONFIG_AUTHPASS_MAX_LEN`).
const PASSWORD_LIMIT: usize = 512;

/// What protects a cluster, as recorded in its manifest; passwords are kept elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// There is a password: of the default user, or of `user`.
    pub password: bool,
    /// The ACL user that rcluster is; `None` for the default user.
    pub user: Option<String>,
    /// The ACL user that replicas are (`masteruser`); `None` for the one that rcluster is.
    pub replication_user: Option<String>,
    /// The nodes have an ACL file.
    pub acl: bool,
    /// TLS, if there is any.
    pub tls: Option<Tls>,
}

/// TLS on every client port, on the bus and between replicas and primaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// A plain client port is open beside the one of TLS.
    pub plain_too: bool,
    /// What is asked of clients, and of nodes on the bus.
    pub clients: ClientCertificates,
    /// The certificates are the user's own, not made by rcluster.
    pub own: bool,
}

/// Whether who connects must show a certificate (`tls-auth-clients`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// None is asked for.
    No,
    /// One that is shown must be good.
    Optional,
    /// Nobody comes in without one.
    Yes,
}

impl ClientCertificates {
    /// As `redis.conf` has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Optional => "optional",
            Self::Yes => "yes",
        }
    }
}

impl Security {
    /// Refuses what cannot work together.
    pub(super) fn check(&self) -> Result<()> {
        let users = [
            ("--user", &self.user),
            ("--replication-user", &self.replication_user),
        ];
        for (option, user) in users {
            let Some(user) = user else { continue };
            if !self.acl {
                return Err(Error::usage(
                    format!("{option} names a user that no ACL file makes"),
                    "pass --aclfile FILE too",
                ));
            }
            // `ACLStringHasSpaces`; control characters have no place in a line either.
            if user.is_empty() || user.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(Error::usage(
                    format!("{option} is no name of a user"),
                    "pass a name without spaces, as the ACL file has it",
                ));
            }
        }
        Ok(())
    }
}

/// A cluster's secrets. Printed, it shows none of them.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The password of the default user, or of [`Security::user`].
    pub password: Option<SecretString>,
    /// The password of [`Security::replication_user`], where it is another one.
    pub replication_password: Option<SecretString>,
    /// The text of the ACL file that every node begins with.
    pub acl: Option<SecretString>,
}

/// Certificates and keys, each in PEM.
#[derive(Clone)]
pub struct Certificates {
    /// The CA that the others come from.
    pub ca: String,
    /// Its key, for further certificates; `None` for a CA that is not ours.
    pub ca_key: Option<String>,
    /// What every node shows.
    pub node: String,
    /// Its key.
    pub node_key: String,
    /// What rcluster shows, and whoever else is a client.
    pub client: String,
    /// Its key.
    pub client_key: String,
}

impl Certificates {
    /// Whether `other` has the same certificates and keys, but for the key of the CA.
    pub fn same_files(&self, other: &Self) -> bool {
        let files = |of: &Self| {
            [&of.ca, &of.node, &of.node_key, &of.client, &of.client_key].map(String::clone)
        };
        files(self) == files(other)
    }
}

/// Keys are not printed.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

/// Refuses passwords that some server or client cannot take. Never repeats them.
pub fn check_password(source: &str, password: &str) -> Result<()> {
    let refuse = |why: &str, hint: &str| Err(Error::usage(format!("{source} {why}"), hint));
    if password.is_empty() {
        return refuse(
            "gives an empty password",
            "give one, or none at all for a cluster without a password (leave the option out, `unset RCLUSTER_PASSWORD`)",
        );
    }
    if password.contains('\0') {
        return refuse(
            "gives a password with a NUL in it",
            "pass one that clients can send",
        );
    }
    if password.len() > PASSWORD_LIMIT {
        return refuse(
            &format!(
                "gives a password of {} bytes, and servers take {PASSWORD_LIMIT} at most",
                password.len()
            ),
            "pass a shorter one",
        );
    }
    Ok(())
}

/// Whether the ACL file `text` makes a user whom no password keeps out: the default user, if no
/// line is about it, or any with `on` and `nopass`. Of rules that contradict each other the last
/// one counts, and who is not `on` is off (`ACLSetUser`).
pub fn lets_anybody_in(text: &str) -> bool {
    let mut default = false;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("user") {
            continue;
        }
        default |= words.next() == Some("default");
        let (mut on, mut open) = (false, false);
        for rule in words {
            match rule.to_ascii_lowercase().as_str() {
                "on" => on = true,
                "off" => on = false,
                "nopass" => open = true,
                "reset" => (on, open) = (false, false),
                "resetpass" => open = false,
                rule if rule.starts_with(['>', '#']) => open = false,
                _ => {}
            }
        }
        if on && open {
            return true;
        }
    }
    !default
}

/// `text` as a quoted word of `redis.conf`, whatever is in it (`sdssplitargs` reads it back).
pub fn quoted(text: &str) -> String {
    let mut word = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                word.push('\\');
                word.push(char::from(byte));
            }
            0x20..=0x7e => word.push(char::from(byte)),
            _ => write!(word, "\\x{byte:02x}").expect("writing to a string cannot fail"),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `sdssplitargs` makes of a word in double quotes.
    fn unquoted(word: &str) -> Vec<u8> {
        let mut bytes = word.strip_prefix('"').expect("opened").bytes();
        let mut out = Vec::new();
        loop {
            match bytes.next().expect("closed") {
                b'"' => break,
                b'\\' => match bytes.next().expect("escaped") {
                    b'x' => {
                        let digits = [bytes.next().expect("hex"), bytes.next().expect("hex")];
                        let digits = std::str::from_utf8(&digits).expect("ASCII");
                        out.push(u8::from_str_radix(digits, 16).expect("hex"));
                    }
                    other => out.push(other),
                },
                byte => out.push(byte),
            }
        }
        assert_eq!(bytes.next(), None, "{word}");
        out
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_is_read_back(text in any::<String>()) {
            let word = quoted(&text);
            prop_assert!(word.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(unquoted(&word), text.as_bytes());
        }
    }

    #[test]
    fn passwords_that_nobody_can_send_are_refused_and_not_repeated() {
        for bad in ["", "secr\0et", &"s".repeat(513)] {
            let error = check_password("--password-file", bad).expect_err("refused");
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains("secr") && !error.to_string().contains("sss"));
        }
        for good in [" ", "\n", "é#\"'\\", &"s".repeat(512)] {
            check_password("--password-file", good).expect("allowed");
        }
    }

    #[test]
    fn an_acl_file_protects_only_if_nobody_comes_in_without_a_password() {
        for open in [
            "",
            "user tool on >secret +@all ~*",
            "user default on nopass +@all ~*\nuser tool on >secret",
            "user default off\nuser guest on NOPASS +@read",
            "user default on >x nopass",
        ] {
            assert!(lets_anybody_in(open), "{open}");
        }
        for closed in [
            "user default off",
            "# nothing\nuser default off nopass\nuser tool on #abcd ~* +@all",
            "user default on nopass >secret",
            "user default on nopass resetpass",
        ] {
            assert!(!lets_anybody_in(closed), "{closed}");
        }
    }

    #[test]
    fn a_user_needs_a_file_that_makes_it() {
        let security = Security {
            user: Some("me".into()),
            ..Security::default()
        };
        assert_eq!(security.check().expect_err("refused").exit_code(), 2);
        let security = Security {
            acl: true,
            ..security
        };
        security.check().expect("allowed");
        let security = Security {
            replication_user: Some("a b".into()),
            ..security
        };
        assert_eq!(security.check().expect_err("refused").exit_code(), 2);
    }
}
