//! `INFO` and `CLUSTER INFO`: lines of `field:value`.

use super::reply::ParseError;

/// An `INFO`-like text; a field is looked up when it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info(String);

impl Info {
    /// Takes the text as the server sent it, with `\r\n` line ends and `# Section` lines.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The value of `field`, if it is there.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .map(str::trim_end)
    }

    /// The value of `field` as a number.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.get(field)?.parse().ok()
    }

    /// How many keys all databases hold together, by the `dbN:keys=…` lines of `INFO keyspace`.
    pub fn keys(&self) -> u64 {
        let counts = self.0.lines().filter_map(|line| {
            let (number, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
            number.parse::<u32>().ok()?;
            rest.split(',').next()?.parse::<u64>().ok()
        });
        counts.fold(0, u64::saturating_add)
    }

    /// Whether any database holds a key, by the `dbN:keys=…` lines of `INFO keyspace`.
    pub fn has_keys(&self) -> bool {
        self.0.lines().any(|line| {
            line.strip_prefix("db")
                .and_then(|rest| rest.split_once(':'))
                .is_some_and(|(number, rest)| {
                    number.parse::<u32>().is_ok() && !rest.starts_with("keys=0,")
                })
        })
    }
}

/// What `CLUSTER INFO` says that *ready* depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// `cluster_state:ok`.
    pub ok: bool,
    /// `cluster_slots_assigned`, 0 to 16384.
    pub slots_assigned: u64,
    /// `cluster_slots_ok`, 0 to 16384.
    pub slots_ok: u64,
    /// `cluster_current_epoch`.
    pub current_epoch: u64,
    /// `cluster_my_epoch`.
    pub my_epoch: u64,
}

impl TryFrom<&Info> for ClusterInfo {
    type Error = ParseError;

    fn try_from(info: &Info) -> Result<Self, ParseError> {
        let number = |field: &'static str| {
            info.number(field)
                .ok_or_else(|| ParseError::new(field, &info.0))
        };
        Ok(Self {
            ok: info
                .get("cluster_state")
                .ok_or_else(|| ParseError::new("cluster_state", &info.0))?
                == "ok",
            slots_assigned: number("cluster_slots_assigned")?,
            slots_ok: number("cluster_slots_ok")?,
            current_epoch: number("cluster_current_epoch")?,
            my_epoch: number("cluster_my_epoch")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info = Info::new("# Server\r\nprocess_id:12\r\nprocess_id_x:13\r\n".into());
        assert_eq!(info.number("process_id"), Some(12));
        assert_eq!(info.get("process"), None);
    }

    #[test]
    fn a_key_in_any_database_counts() {
        assert!(!Info::new("# Keyspace\r\n".into()).has_keys());
        assert!(Info::new("# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n".into()).has_keys());
        assert!(Info::new("# Keyspace\r\ndb12:keys=3,expires=0\r\n".into()).has_keys());
        assert!(!Info::new("# Keyspace\r\ndb0:keys=0,expires=0\r\n".into()).has_keys());
    }

    #[test]
    fn keys_of_all_databases_are_counted() {
        let info = "db0:keys=3,expires=0\r\ndb7:keys=4,expires=1\r\ndbsize:keys=9\r\ndb1:x\r\n";
        assert_eq!(Info::new(info.into()).keys(), 7);
        assert_eq!(Info::default().keys(), 0);
    }

    #[test]
    fn cluster_info_needs_its_fields() {
        let text = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
                    cluster_known_nodes:6\r\ncluster_current_epoch:6\r\ncluster_my_epoch:4\r\n";
        let info = ClusterInfo::try_from(&Info::new(text.into())).expect("complete");
        assert!(info.ok && info.slots_ok == 16384 && info.current_epoch == 6);
        assert!(ClusterInfo::try_from(&Info::new("cluster_state:ok".into())).is_err());
        assert!(ClusterInfo::try_from(&Info::new("<html>".into())).is_err());
    }
}
