//! Whether a node that starts again has what it held.

use super::directive::last_value;

/// What a running server writes, whatever its `redis.conf` says: values of `CONFIG GET`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// `appendonly`.
    pub appendonly: String,
    /// `save`.
    pub save: String,
    /// `shutdown-on-sigterm`; empty on servers that do not know it.
    pub at_sigterm: String,
}

/// How a node ends, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, told by SIGTERM: one that writes snapshots has written a last one.
    Clean,
    /// Killed, or nobody knows: its last snapshot may be old, or there is none.
    Unknown,
}

/// Whether a node that ends in this way has what it held when it starts again: what it wrote must be
/// what it will read. `conf` is the text of its `redis.conf`; `now` what it writes as it runs, if it
/// can be asked.
pub fn keeps(conf: &str, now: Option<&Writes>, end: End) -> bool {
    let value = |name: &str| last_value(conf, name).unwrap_or_default();
    let by_conf = Writes {
        appendonly: value("appendonly"),
        save: value("save"),
        at_sigterm: value("shutdown-on-sigterm"),
    };
    let now = now.unwrap_or(&by_conf);
    if is_on(&by_conf.appendonly) {
        return is_on(&now.appendonly);
    }
    // A snapshot is written at the end only if some are written at all. One that appends now will
    // not read what it appends.
    end == End::Clean
        && !is_on(&now.appendonly)
        && !bare(&now.save).is_empty()
        && !ends_without_saving(&now.at_sigterm)
}

fn bare(value: &str) -> &str {
    value.trim_matches(['"', '\''])
}

fn is_on(value: &str) -> bool {
    bare(value).eq_ignore_ascii_case("yes")
}

/// Whether a server may end by SIGTERM without a snapshot: told to, or told not to mind failures.
fn ends_without_saving(at_sigterm: &str) -> bool {
    bare(at_sigterm)
        .split_ascii_whitespace()
        .any(|word| word.eq_ignore_ascii_case("nosave") || word.eq_ignore_ascii_case("force"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(appendonly: &str, save: &str) -> Writes {
        Writes {
            appendonly: appendonly.to_owned(),
            save: save.to_owned(),
            at_sigterm: "default".to_owned(),
        }
    }

    #[test]
    fn what_is_appended_is_kept_however_a_node_ends() {
        let now = |appendonly, save| Some(writes(appendonly, save));
        for (conf, now, wanted) in [
            ("appendonly yes\nsave \"\"\n", now("yes", ""), true),
            ("appendonly yes\n", None, true),
            ("appendonly \"yes\"\n", None, true),
            ("appendonly 'YES'\n", now("yes", ""), true),
            ("appendonly no\nappendonly yes\n", None, true),
            ("appendonly no\nsave \"\"\n", None, false),
            ("appendonly no\nsave \"\"\n", now("no", ""), false),
            // Changed by CONFIG SET: what is on disk is old, or not looked at.
            ("appendonly yes\n", now("no", ""), false),
            ("appendonly yes\n", now("no", "3600 1"), false),
            ("appendonly no\nsave \"\"\n", now("yes", ""), false),
            ("appendonly no\nsave 3600 1\n", now("yes", "3600 1"), false),
            ("", None, false),
        ] {
            for end in [End::Clean, End::Unknown] {
                assert_eq!(keeps(conf, now.as_ref(), end), wanted, "{conf} {now:?}");
            }
        }
    }

    #[test]
    fn snapshots_keep_what_a_node_held_only_if_it_ended_cleanly() {
        let now = |appendonly, save| Some(writes(appendonly, save));
        for (conf, now, wanted) in [
            ("appendonly no\nsave 3600 1\n", now("no", "3600 1"), true),
            ("appendonly no\nsave 3600 1\n", None, true),
            ("appendonly \"no\"\nsave \"3600 1\"\n", None, true),
            ("save \"\"\nsave 3600 1\n", None, true),
            ("save 3600 1\nsave ''\n", None, false),
            ("appendonly no\nsave 3600 1\n", now("no", ""), false),
            ("save 3600 1\nshutdown-on-sigterm nosave\n", None, false),
            (
                "save 3600 1\nshutdown-on-sigterm \"save force\"\n",
                None,
                false,
            ),
            ("save 3600 1\nshutdown-on-sigterm save now\n", None, true),
            (
                "save 3600 1\nshutdown-on-sigterm nosave\n",
                now("no", "1 1"),
                true,
            ),
        ] {
            assert_eq!(
                keeps(conf, now.as_ref(), End::Clean),
                wanted,
                "{conf} {now:?}"
            );
            assert!(!keeps(conf, now.as_ref(), End::Unknown), "{conf} {now:?}");
        }
    }
}
