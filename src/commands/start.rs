//! `rcluster start`, and what `start` and `up` have in common: giving the options their meaning.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use secrecy::SecretString;

use super::Call;
use crate::cli::{AuthClients, PASSWORD_VARIABLE, StartArgs, TlsPorts};
use crate::error::{Error, Result};
use crate::ops::{self, Forgetting, StartWish, TlsWish};
use crate::plan::{
    Announce, Certificates, ClientCertificates, Directive, NodeSetting, Selector, check_password,
    load_module, parse_conf, parse_set, parse_set_for,
};
use crate::report::Shown;

/// More than any configuration, certificate or ACL file; a larger one is none.
const FILE_LIMIT: u64 = 1 << 20;

pub(super) async fn run(call: &Call, wish: &StartWish) -> Result<ExitCode> {
    let answer = ops::start(&call.context, wish).await?;
    call.answer(&Shown::Started(&answer))?;
    Ok(ExitCode::SUCCESS)
}

/// Gives the arguments their meaning, once. Files are read here, so that a bad one is refused
/// before anything is touched.
pub(super) fn wish(args: &StartArgs) -> Result<StartWish> {
    refuse_two_readers(args)?;
    let (directives, settings) = configuration(args)?;
    let generate_password = args.generate_password.unwrap_or(false);
    let secret = |option: &str, path: &Option<std::path::PathBuf>| {
        let path = path.as_ref();
        path.map(|path| password_file(option, path)).transpose()
    };
    Ok(StartWish {
        primaries: args.primaries,
        replicas: args.replicas,
        port: args.port,
        bus_port: args.bus_port,
        tls_port: args.tls_port,
        bind: args.bind.clone(),
        announce: Announce {
            ip: args.announce_ip,
            port: args.announce_port,
            bus_port: args.announce_bus_port,
            hostname: args.announce_hostname.clone(),
        },
        unix_socket: args.unix_socket,
        server: args.server.clone(),
        servers: servers(args)?,
        node_timeout: args.node_timeout,
        directives,
        settings,
        ephemeral: args.ephemeral,
        password: match secret("--password-file", &args.password_file)? {
            None if !generate_password => password_variable()?,
            given => given,
        },
        generate_password,
        acl: match &args.aclfile {
            Some(path) => Some(text_file("--aclfile", path)?.into()),
            None => None,
        },
        user: args.user.clone(),
        replication_user: args.replication_user.clone(),
        replication_password: secret(
            "--replication-password-file",
            &args.replication_password_file,
        )?,
        tls: args.tls.map(|ports| match ports {
            TlsPorts::Only => TlsWish::Only,
            TlsPorts::Both => TlsWish::Both,
            TlsPorts::No => TlsWish::No,
        }),
        tls_clients: args.tls_auth_clients.map(|clients| match clients {
            AuthClients::No => ClientCertificates::No,
            AuthClients::Optional => ClientCertificates::Optional,
            AuthClients::Yes => ClientCertificates::Yes,
        }),
        certificates: certificates(args)?,
        yes: args.yes,
        forgetting: Forgetting::default(),
        retain: args.retain,
    })
}

/// Refuses directives and nodes that `up` would refuse, without reading a file.
pub(super) fn check_words(args: &StartArgs) -> Result<()> {
    let words = StartArgs {
        set: args.set.clone(),
        set_for: args.set_for.clone(),
        ..StartArgs::default()
    };
    configuration(&words)?;
    servers(args).map(drop)
}

/// The directives for all nodes, if any option gives some, and those for some nodes.
fn configuration(args: &StartArgs) -> Result<(Option<Vec<Directive>>, Vec<NodeSetting>)> {
    let mut directives = Vec::new();
    if let Some(path) = &args.conf {
        let text = text_file("--conf", path)?;
        directives = parse_conf(&path.display().to_string(), &text)?;
    }
    for set in &args.set {
        directives.push(parse_set(set)?);
    }
    for module in &args.loadmodule {
        directives.push(module_line(module)?);
    }
    let given = args.conf.is_some() || !args.set.is_empty() || !args.loadmodule.is_empty();
    // clap hands out the two values of each --set-for one after the other.
    let settings = args.set_for.chunks_exact(2).map(|pair| match pair {
        [nodes, set] => parse_set_for(nodes, set),
        _ => Err(Error::usage(
            "--set-for takes two values",
            "pass --set-for NODES DIRECTIVE=VALUE",
        )),
    });
    Ok((
        given.then_some(directives),
        settings.collect::<Result<_>>()?,
    ))
}

/// A module's file, made absolute because servers work in directories of their own, and its arguments.
fn module_line(module: &str) -> Result<Directive> {
    // A path may have spaces in it; the arguments begin at the first space behind one that exists.
    let whole = (module, "");
    let (path, arguments) = [whole]
        .into_iter()
        .chain(
            module
                .match_indices(' ')
                .map(|(at, _)| (&module[..at], &module[at + 1..])),
        )
        .find(|(path, _)| Path::new(path).is_file())
        .ok_or_else(|| {
            Error::usage(
                format!("--loadmodule {module} names no file"),
                "pass the path of a module (.so), and after it its arguments",
            )
        })?;
    let path = std::path::absolute(path).map_err(|source| Error::Io {
        what: format!("find {path}"),
        source,
    })?;
    load_module(&path.to_string_lossy(), arguments)
}

fn servers(args: &StartArgs) -> Result<Vec<(Selector, String)>> {
    let read = |text: &String| -> Result<(Selector, String)> {
        let wrong = |why: String| {
            Error::usage(
                format!("--server-for: {why}"),
                "pass --server-for NODES=PATH, such as --server-for replica=/usr/bin/valkey-server",
            )
        };
        let (nodes, server) = text
            .split_once('=')
            .ok_or_else(|| wrong("there is no = between nodes and a program".into()))?;
        Ok((nodes.parse().map_err(wrong)?, server.to_owned()))
    };
    args.server_for.iter().map(read).collect()
}

fn certificates(args: &StartArgs) -> Result<Option<Certificates>> {
    let (Some(ca), Some(cert), Some(key)) = (&args.tls_ca, &args.tls_cert, &args.tls_key) else {
        return Ok(None);
    };
    let node = text_file("--tls-cert", cert)?;
    let node_key = text_file("--tls-key", key)?;
    let (client, client_key) = match (&args.tls_client_cert, &args.tls_client_key) {
        (Some(cert), Some(key)) => (
            text_file("--tls-client-cert", cert)?,
            text_file("--tls-client-key", key)?,
        ),
        _ => (node.clone(), node_key.clone()),
    };
    Ok(Some(Certificates {
        ca: text_file("--tls-ca", ca)?,
        ca_key: None,
        node,
        node_key,
        client,
        client_key,
    }))
}

/// Standard input can be read only once.
fn refuse_two_readers(args: &StartArgs) -> Result<()> {
    let is_input = |path: &Option<std::path::PathBuf>| path.as_deref() == Some(Path::new("-"));
    if is_input(&args.password_file) && is_input(&args.replication_password_file) {
        return Err(Error::usage(
            "two passwords cannot both be read from standard input",
            "put one of them into a file",
        ));
    }
    Ok(())
}

/// A password: the whole file, but for one line break at its end.
fn password_file(option: &str, path: &Path) -> Result<SecretString> {
    let text = if path == Path::new("-") {
        let read = read_whole(std::io::stdin());
        read.map_err(|error| {
            Error::usage(
                format!("{option} - cannot be read: {error}"),
                "send the password to standard input, as UTF-8",
            )
        })?
    } else {
        text_file(option, path)?
    };
    let password = ["\r\n", "\n"]
        .iter()
        .find_map(|line_break| text.strip_suffix(line_break))
        .unwrap_or(&text);
    check_password(option, password)?;
    Ok(password.into())
}

fn password_variable() -> Result<Option<SecretString>> {
    let Some(value) = std::env::var_os(PASSWORD_VARIABLE) else {
        return Ok(None);
    };
    let Ok(password) = value.into_string() else {
        return Err(Error::usage(
            format!("{PASSWORD_VARIABLE} is not UTF-8"),
            "pass a password that every client can send",
        ));
    };
    check_password(PASSWORD_VARIABLE, &password)?;
    Ok(Some(password.into()))
}

/// The text of a file that an option names.
fn text_file(option: &str, path: &Path) -> Result<String> {
    let shown = path.display();
    // A pipe would be waited for without end, and a device has none.
    // But what a shell opened for us, as <(command), comes to an end.
    let is_handed_over = path.starts_with("/dev/fd") || path == Path::new("/dev/stdin");
    let meta = fs::metadata(path);
    if !is_handed_over && meta.is_ok_and(|meta| !meta.is_file() || meta.len() > FILE_LIMIT) {
        return Err(Error::usage(
            format!("{option} {shown} is no file of at most 1 MiB"),
            "pass a readable text file",
        ));
    }
    let read = fs::File::open(path).and_then(read_whole);
    read.map_err(|error| {
        Error::usage(
            format!("{option} {shown} cannot be read: {error}"),
            "pass a readable text file",
        )
    })
}

/// All that comes, which must not be more than a file may be: half of it means something else.
fn read_whole(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(FILE_LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(text)
}
