//! Where files of settings are, whether they can be trusted, and what is in them.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Level, SettingsFile, text};
use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::sys;

/// A project's file, in its directory.
const PROJECT: &str = "rcluster.toml";
/// The user's file, in the directory of configuration.
const USER: &str = "rcluster/config.toml";

/// No file of settings is larger.
const LIMIT: u64 = 1 << 20;

/// A file of settings that is there, or must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where, absolute.
    pub path: PathBuf,
    /// Whose.
    pub level: Level,
    /// The user has named it: it need not be theirs.
    named: bool,
}

/// The files that count, the stronger first. `wish` is what `--config` says: a file in the place
/// of the one that is found upwards from the working directory, or `none` for no file at all.
pub fn sources(wish: Option<&Path>) -> Result<Vec<Place>> {
    let user = user_file().map(|path| Place {
        path,
        level: Level::User,
        named: false,
    });
    let project = match wish {
        Some(wish) if wish == Path::new("none") => return Ok(Vec::new()),
        Some(wish) => Some(std::path::absolute(wish).map_err(Error::io("find", wish))?),
        // Nothing is above a directory that is gone.
        None => env::current_dir().ok().and_then(|dir| upwards(&dir)),
    };
    let project = project.map(|path| Place {
        path,
        level: Level::Project,
        named: wish.is_some(),
    });
    Ok(project.into_iter().chain(user).collect())
}

/// The first project file from `dir` upwards. Whatever has its name is it, so that a broken link
/// is told and not passed over.
fn upwards(dir: &Path) -> Option<PathBuf> {
    dir.ancestors()
        .map(|dir| dir.join(PROJECT))
        .find(|path| path.symlink_metadata().is_ok())
}

/// `$XDG_CONFIG_HOME/rcluster/config.toml`, else `~/.config/rcluster/config.toml`, if there is one.
fn user_file() -> Option<PathBuf> {
    // The XDG specification says to ignore relative paths.
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(config.join(USER)).filter(|path| path.symlink_metadata().is_ok())
}

/// Reads the file at `place`.
pub fn read(place: &Place) -> Result<SettingsFile> {
    let shown = place.path.display();
    let text = text_of(place).map_err(|why| {
        let unread = |why: String| (format!("{shown} cannot be read: {why}"), "repair it");
        let (why, hint) = match why {
            Why::Io(error) => unread(error.to_string()),
            Why::Odd(what) => unread(what.to_owned()),
            Why::Distrusted(why) => (
                format!("{shown} names programs to run, and is not to be trusted: {why}"),
                match place.level {
                    Level::Project => {
                        "make it yours (chown) and let nobody else write to it (chmod go-w); or name it yourself: --config FILE"
                    }
                    Level::User => {
                        "make it yours (chown), and let nobody else write to it (chmod go-w)"
                    }
                },
            ),
        };
        Error::usage(why, format!("{hint}; `--config none` does without"))
    })?;
    let entries = text::parse(&text).map_err(|fault| {
        Error::usage(
            format!("{shown}:{}: {}", fault.line, fault.message),
            "write it as TOML, a line for each: KEY = VALUE; `--config none` does without",
        )
    })?;
    Ok(SettingsFile {
        path: place.path.clone(),
        level: place.level,
        entries,
    })
}

/// Why there is no text.
enum Why {
    Io(io::Error),
    Odd(&'static str),
    Distrusted(String),
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn text_of(place: &Place) -> Result<String, Why> {
    // A pipe would be waited for without end.
    if !fs::metadata(&place.path)?.is_file() {
        return Err(Why::Odd("it is no file"));
    }
    let file = File::open(&place.path)?;
    if !place.named
        && let Some(why) = sys::distrust(&file)?
    {
        return Err(Why::Distrusted(printable(&why, 200)));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LIMIT) {
        return Err(Why::Odd("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| Why::Odd("it is not UTF-8"))
}
