//! Building a server from its source, the way of the tutorial: unpack, `make`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::binary::{Kind, Version};
use super::digest::{sha256, sha256_of_tree};
use super::tool::{Tool, find_program};
use crate::error::{Error, Result};

/// More than any version.h.
const HEADER_LIMIT: u64 = 64 << 10;

const BUILD_HINT: &str = "install make and a C compiler (Debian: apt-get install build-essential; Fedora: dnf install make gcc; Alpine: apk add build-base), or take a ready-made server: {rcluster} server install";

/// Where a source is, and how it is to be built.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    is_dir: bool,
    make: PathBuf,
    unpacker: PathBuf,
    arguments: Vec<String>,
}

impl Source {
    /// The source at `path`, a directory or a tarball, to be built with `arguments` for make.
    /// Refused unless all programs that it takes are here.
    pub fn new(path: &Path, arguments: Vec<String>) -> Result<Self> {
        let shown = path.display();
        let cannot = |error: io::Error| {
            Error::usage(
                format!("--from {shown} cannot be read: {error}"),
                "pass a source tarball, or a directory with one unpacked",
            )
        };
        let path = std::path::absolute(path).map_err(cannot)?;
        let meta = fs::metadata(&path).map_err(cannot)?;
        // A pipe would be waited for without end, and a device has none.
        if !meta.is_dir() && !meta.is_file() {
            return Err(cannot(io::Error::other("it is no file and no directory")));
        }
        let is_dir = meta.is_dir();
        if is_dir && !path.join("Makefile").is_file() {
            return Err(no_makefile(&path));
        }
        if !is_dir {
            File::open(&path).map_err(cannot)?;
        }
        let program = |name: &str, hint: &str| {
            find_program(name).ok_or_else(|| Error::Unfit {
                message: format!("there is no `{name}` to build a server with"),
                hint: hint.to_owned(),
            })
        };
        let make = program("make", BUILD_HINT)?;
        program(&compiler(&arguments), BUILD_HINT)?;
        let unpacker = if is_dir { "cp" } else { "tar" };
        let unpacker = program(
            unpacker,
            "install it (Debian: apt-get install tar coreutils), or pass a directory with --from",
        )?;
        Ok(Self {
            path,
            is_dir,
            make,
            unpacker,
            arguments,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The arguments for make.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The digest of the tarball, or of all that is in the directory.
    pub fn digest(&self) -> Result<String> {
        let digest = if self.is_dir {
            sha256_of_tree(&self.path)
        } else {
            File::open(&self.path).and_then(sha256)
        };
        digest.map_err(Error::io("read", &self.path))
    }

    /// The command that puts the source into the directory `into`.
    pub fn unpack(&self, into: &Path) -> Tool {
        if self.is_dir {
            // With its times, so that what is built already is not built again.
            return Tool::new("cp", &self.unpacker)
                .arg("-pR")
                .arg(self.path.join("."))
                .arg(into);
        }
        Tool::new("tar", &self.unpacker)
            .arg("-xof")
            .arg(&self.path)
            .dir(into)
    }

    /// The directory below `unpacked` that has the Makefile: a tarball's only directory, mostly.
    pub fn root(&self, unpacked: &Path) -> Result<PathBuf> {
        if unpacked.join("Makefile").is_file() {
            return Ok(unpacked.to_owned());
        }
        let entries = fs::read_dir(unpacked).map_err(Error::io("list", unpacked))?;
        let mut dirs = entries.flatten().map(|entry| entry.path());
        let only = dirs.next().filter(|_| dirs.next().is_none());
        only.filter(|dir| !dir.is_symlink() && dir.join("Makefile").is_file())
            .ok_or_else(|| no_makefile(&self.path))
    }

    /// The command that builds what is in `root`, on all cores.
    pub fn build(&self, root: &Path) -> Tool {
        Tool::new("make", &self.make)
            .arg(format!("-j{}", jobs()))
            .args(&self.arguments)
            .dir(root)
    }
}

/// How many compilers run at once.
pub fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn no_makefile(path: &Path) -> Error {
    Error::usage(
        format!(
            "--from {} is no source of Redis or Valkey: it has no Makefile",
            path.display()
        ),
        "pass a release tarball of Redis or Valkey, or the directory that one was unpacked to",
    )
}

/// The C compiler that make will call: what an argument or the environment says, else `cc`.
fn compiler(arguments: &[String]) -> String {
    let argument = arguments
        .iter()
        .rev()
        .find_map(|argument| argument.strip_prefix("CC=").map(str::to_owned));
    let wish = argument.or_else(|| std::env::var("CC").ok());
    // `ccache gcc`, `gcc -m32`.
    let word = wish
        .as_deref()
        .and_then(|wish| wish.split_whitespace().next());
    word.unwrap_or("cc").to_owned()
}

/// What the source in `root` says that it is; `None` if it says nothing that we can read.
pub fn version_of_source(root: &Path) -> Option<(Kind, Version)> {
    let mut text = String::new();
    let header = File::open(root.join("src/version.h")).ok()?;
    header.take(HEADER_LIMIT).read_to_string(&mut text).ok()?;
    // Valkey says both: the second is the version of Redis that it is like.
    let known = [
        (Kind::Valkey, "VALKEY_VERSION"),
        (Kind::Redis, "REDIS_VERSION"),
    ];
    known.into_iter().find_map(|(kind, name)| {
        text.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let is_it = words.next() == Some("#define") && words.next() == Some(name);
            let version = words.next().filter(|_| is_it)?;
            Some((kind, Version::parse(version.trim_matches('"'))?))
        })
    })
}

/// The server that was built in `root`, and its client if there is one: name and path, links not
/// counted.
pub fn built_programs(root: &Path) -> Vec<(&'static str, PathBuf)> {
    let real = |name: &'static str| {
        let path = root.join("src").join(name);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        is_file.then_some((name, path))
    };
    let [valkey, redis] = [
        ["valkey-server", "valkey-cli"],
        ["redis-server", "redis-cli"],
    ];
    let [server, client] = if real(valkey[0]).is_some() {
        valkey
    } else {
        redis
    };
    let Some(server) = real(server) else {
        return Vec::new();
    };
    std::iter::once(server).chain(real(client)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_source() {
        let tmp = tempfile::tempdir().expect("tempdir");
        fs::create_dir(tmp.path().join("src")).expect("mkdir");
        for (text, wanted) in [
            (
                "#define REDIS_VERSION \"6.2.14\"\n#define REDIS_VERSION_NUM 0x0006020e\n",
                Some((Kind::Redis, Version(6, 2, 14))),
            ),
            (
                "#define SERVER_NAME \"valkey\"\n#define REDIS_VERSION \"7.2.4\"\n#define VALKEY_VERSION \"8.1.0\"\n",
                Some((Kind::Valkey, Version(8, 1, 0))),
            ),
            ("#define REDIS_VERSION_NUM 0x0006020e\n", None),
            ("", None),
        ] {
            fs::write(tmp.path().join("src/version.h"), text).expect("write");
            assert_eq!(version_of_source(tmp.path()), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        let tmp = tempfile::tempdir().expect("tempdir");
        for path in [
            tmp.path(),
            &tmp.path().join("missing"),
            Path::new("/dev/null"),
        ] {
            let error = Source::new(path, Vec::new()).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains(&path.display().to_string()));
        }
    }

    #[test]
    fn the_compiler_is_the_one_that_make_is_told() {
        let arguments = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            compiler(&arguments(&["CC=ccache gcc", "CFLAGS=-O2"])),
            "ccache"
        );
        assert_eq!(compiler(&arguments(&["CC=gcc", "CC=clang"])), "clang");
    }
}
