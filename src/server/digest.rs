//! SHA-256, by which a program is known whatever it is called: the only door to the `sha2` crate.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The digest of all that `reader` gives, in hexadecimal digits.
pub fn sha256(mut reader: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    each_block(&mut reader, |block| {
        hash.update(block);
        Ok(())
    })?;
    Ok(hex(hash))
}

/// Copies `from` to `to` and returns the digest of what was written, so that nobody can change it
/// between a look and the copy.
pub fn copy_hashed(from: &mut File, to: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    each_block(from, |block| {
        hash.update(block);
        to.write_all(block)
    })?;
    Ok(hex(hash))
}

/// The digest of a directory: of the names and contents of all files in it, whatever their times.
/// What a version control system keeps beside them is left out.
pub fn sha256_of_tree(root: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let mut entries = fs::read_dir(&dir)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type()?);
            if entry.file_name() == ".git" {
                continue;
            }
            let name = path.strip_prefix(root).unwrap_or(&path);
            hash.update(name.as_os_str().as_bytes());
            // Lengths keep a name apart from what follows it.
            if kind.is_dir() {
                hash.update(b"\0dir\0");
                open.push(path);
            } else if kind.is_file() {
                let mut file = File::open(&path)?;
                hash.update(format!("\0file {}\0", file.metadata()?.len()));
                each_block(&mut file, |block| {
                    hash.update(block);
                    Ok(())
                })?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&path)?;
                hash.update(b"\0link\0");
                hash.update(target.as_os_str().as_bytes());
                hash.update(b"\0");
            }
        }
    }
    Ok(hex(hash))
}

fn each_block(
    reader: &mut impl Read,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut block = vec![0; 64 << 10];
    loop {
        match reader.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(length) => take(block.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(hash: Sha256) -> String {
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        // FIPS 180-2, appendix B.
        for (text, wanted) in [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            assert_eq!(sha256(text.as_bytes()).expect("read"), wanted);
        }
    }

    #[test]
    fn a_tree_is_known_by_its_names_and_contents() {
        let tmp = tempfile::tempdir().expect("tempdir");
        let digest = || sha256_of_tree(tmp.path()).expect("read");
        let write = |name: &str, text: &str| fs::write(tmp.path().join(name), text).expect("write");
        fs::create_dir_all(tmp.path().join(".git")).expect("mkdir");
        write("a", "one");
        let first = digest();
        write("a", "one");
        write(".git/index", "x");
        assert_eq!(digest(), first, "the same content");
        write("a", "two");
        let second = digest();
        fs::rename(tmp.path().join("a"), tmp.path().join("b")).expect("rename");
        let third = digest();
        std::os::unix::fs::symlink("b", tmp.path().join("c")).expect("link");
        let all = [first, second, third, digest()];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), 4, "{all:?}");
    }
}
