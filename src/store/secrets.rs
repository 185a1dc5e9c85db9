//! Secrets and certificates of a cluster: directories of their own, files that only we may read.
//!
//! They are written before the manifest: a cluster that has one has all that its nodes need.

use std::io;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::home::Cluster;
use crate::error::{Error, Result};
use crate::plan::{Certificates, Secrets};
use crate::sys::dir::{Dir, Entry, Kind};

/// No secret, and no chain of certificates, is larger.
const LIMIT: u64 = 1 << 20;

const SECRETS: &str = "secrets";
const PASSWORD: &str = "password";
const REPLICATION_PASSWORD: &str = "replication-password";
const ACL: &str = "users.acl";

const TLS: &str = "tls";
const CA: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NODE: &str = "node.crt";
const NODE_KEY: &str = "node.key";
const CLIENT: &str = "client.crt";
const CLIENT_KEY: &str = "client.key";

/// The directories, and every file that we make in them.
const FILES: [(&str, &[&str]); 2] = [
    (SECRETS, &[PASSWORD, REPLICATION_PASSWORD, ACL]),
    (TLS, &[CA, CA_KEY, NODE, NODE_KEY, CLIENT, CLIENT_KEY]),
];

/// Whether `name` is one of the directories of this module.
pub(super) fn is_secret_dir(name: &std::ffi::OsStr) -> bool {
    FILES.iter().any(|(dir, _)| name == *dir)
}

impl Cluster {
    /// The secrets; none of them for a cluster without.
    pub fn secrets(&self) -> Result<Secrets> {
        let read = |file: &str| -> Result<Option<SecretString>> {
            let Some(bytes) = self.secret_file(SECRETS, file)? else {
                return Ok(None);
            };
            let text = String::from_utf8(bytes).map_err(|_| Error::Corrupt {
                path: self.path().join(SECRETS).join(file),
                why: "it is not UTF-8".into(),
            })?;
            Ok(Some(text.into()))
        };
        Ok(Secrets {
            password: read(PASSWORD)?,
            replication_password: read(REPLICATION_PASSWORD)?,
            acl: read(ACL)?,
        })
    }

    /// Writes the secrets that there are, in place of any that are left of an interrupted start.
    pub fn write_secrets(&self, secrets: &Secrets) -> Result<()> {
        let Secrets {
            password,
            replication_password,
            acl,
        } = secrets;
        let files = [
            (PASSWORD, password),
            (REPLICATION_PASSWORD, replication_password),
            (ACL, acl),
        ];
        let files =
            files.map(|(file, secret)| (file, secret.as_ref().map(SecretString::expose_secret)));
        self.write_dir(SECRETS, &files)
    }

    /// The certificates of a cluster with TLS.
    pub fn certificates(&self) -> Result<Certificates> {
        let read = |file: &str| -> Result<Option<String>> {
            let bytes = self.secret_file(TLS, file)?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        let need = |file: &str| -> Result<String> {
            read(file)?.ok_or_else(|| Error::Corrupt {
                path: self.path().join(TLS).join(file),
                why: "it is gone".into(),
            })
        };
        Ok(Certificates {
            ca: need(CA)?,
            ca_key: read(CA_KEY)?,
            node: need(NODE)?,
            node_key: need(NODE_KEY)?,
            client: need(CLIENT)?,
            client_key: need(CLIENT_KEY)?,
        })
    }

    /// Writes the certificates, if there are any, in place of those that are left of an interrupted
    /// start.
    pub fn write_certificates(&self, certificates: Option<&Certificates>) -> Result<()> {
        let text = |of: fn(&Certificates) -> Option<&String>| {
            certificates.and_then(of).map(String::as_str)
        };
        let files = [
            (CA, text(|files| Some(&files.ca))),
            (CA_KEY, text(|files| files.ca_key.as_ref())),
            (NODE, text(|files| Some(&files.node))),
            (NODE_KEY, text(|files| Some(&files.node_key))),
            (CLIENT, text(|files| Some(&files.client))),
            (CLIENT_KEY, text(|files| Some(&files.client_key))),
        ];
        self.write_dir(TLS, &files)
    }

    /// Where the CA of a TLS cluster is.
    pub fn ca_path(&self) -> PathBuf {
        self.path().join(TLS).join(CA)
    }

    /// Where the certificate and the key are that clients may show.
    pub fn client_paths(&self) -> (PathBuf, PathBuf) {
        let tls = self.path().join(TLS);
        (tls.join(CLIENT), tls.join(CLIENT_KEY))
    }

    /// Where the password is.
    pub fn password_path(&self) -> PathBuf {
        self.path().join(SECRETS).join(PASSWORD)
    }

    fn secret_file(&self, dir: &str, file: &str) -> Result<Option<Vec<u8>>> {
        let read = || match self.dir.sub(dir) {
            Ok(dir) => dir.read(file, LIMIT),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        read().map_err(Error::io("read", &self.path().join(dir).join(file)))
    }

    /// Replaces the files of `dir`; one without text is removed.
    fn write_dir(&self, dir: &str, files: &[(&str, Option<&str>)]) -> Result<()> {
        let work = || -> io::Result<()> {
            if files.iter().any(|(_, text)| text.is_some()) {
                self.dir.make(dir)?;
            }
            let held = match self.dir.sub(dir) {
                Ok(held) => held,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            for (file, text) in files {
                match text {
                    Some(text) => held.write(file, text.as_bytes())?,
                    None => drop(held.unlink(file)?),
                }
            }
            Ok(())
        };
        work().map_err(Error::io("write", &self.path().join(dir)))
    }

    /// Deletes what this module wrote; what is not ours goes to `left`.
    pub(super) fn remove_secrets(&self, left: &mut Vec<PathBuf>) -> io::Result<()> {
        for (name, files) in FILES {
            let held: Dir = match self.dir.sub(name) {
                Ok(held) => held,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for Entry { name, kind } in held.entries()? {
                let text = name.to_str().unwrap_or_default();
                let is_ours = files.contains(&text.strip_suffix(".tmp").unwrap_or(text));
                if kind == Kind::File && is_ours {
                    held.unlink(&name)?;
                } else {
                    left.push(held.path().join(&name));
                }
            }
            match self.dir.rmdir(name) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}
