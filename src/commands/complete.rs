//! What shells ask at TAB time. It only reads, contacts nobody, and says nothing but the answer.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::{Candidate, CommandLine, Completion, Global, Wanted};
use crate::report;
use crate::server::PACKAGES;
use crate::store::{Home, Manifest};

use super::{config, home};

pub(super) fn run(mut completion: Completion) -> ExitCode {
    let place = place(&completion);
    let home = || {
        let wish = place.as_ref().and_then(|place| place.home.as_ref());
        home(wish).ok().map(Home::new)
    };
    let mut tasks = Vec::new();
    for wanted in completion.wanted.clone() {
        let found = match wanted {
            Wanted::Clusters => home().map(|home| clusters(&home)),
            Wanted::Nodes => {
                let nodes = place.as_ref().zip(home());
                Some(nodes.map_or_else(selectors, |(place, home)| nodes_of(place, &home)))
            }
            Wanted::Servers => home().map(|home| servers(&home)),
            Wanted::Packages => Some(packages()),
            Wanted::Files => {
                tasks.push("files");
                None
            }
            Wanted::Directories => {
                tasks.push("directories");
                None
            }
            Wanted::Commands => {
                tasks.push("commands");
                None
            }
        };
        completion.offer(found.unwrap_or_default());
    }
    let lead = completion.lead.chars().count();
    let words = &completion.candidates;
    report::complete(
        tasks.into_iter().map(|task| (task, lead)),
        words
            .iter()
            .map(|word| (word.text.as_str(), word.about.as_str())),
    );
    ExitCode::SUCCESS
}

/// Which cluster is meant, by what is typed, the environment and the files of settings, as every
/// verb reads them; `None` if they cannot be read.
fn place(completion: &Completion) -> Option<Global> {
    let words = ["rcluster".to_owned()].into_iter();
    let words = words.chain(completion.place.iter().cloned());
    let words = words.chain(["status".to_owned()]);
    let words: Vec<OsString> = words.map(OsString::from).collect();
    let line = CommandLine::read(&words, |_| false).ok()?;
    let (files, _) = config::files(&line).ok()?;
    let parsed = line.with(&files, |_| false).ok()?;
    Some(parsed.cli.global)
}

fn clusters(home: &Home) -> Vec<Candidate> {
    let mut names = home.names().unwrap_or_default();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let cluster = home.cluster(&name).ok().flatten();
            let manifest = cluster.and_then(|cluster| cluster.manifest().ok().flatten());
            let about = manifest.as_ref().map(shape).unwrap_or_default();
            Candidate::new(name.as_str(), about)
        })
        .collect()
}

/// `3 + 3 nodes of redis 7.0.15 at 30001`.
fn shape(manifest: &Manifest) -> String {
    let primaries = manifest.spec.primaries;
    let replicas = manifest.nodes.len().saturating_sub(primaries);
    let (kind, version) = (&manifest.server.kind, &manifest.server.version);
    let at = manifest.nodes.first();
    let at = at.map_or_else(String::new, |node| format!(" at {}", node.addr.port));
    format!("{primaries} + {replicas} nodes of {kind} {version}{at}")
}

fn selectors() -> Vec<Candidate> {
    [
        ("all", "all nodes"),
        ("primary", "all primaries"),
        ("replica", "all replicas"),
    ]
    .map(|(word, about)| Candidate::new(word, about))
    .into()
}

/// The ports of a cluster's nodes, and the selectors that mean some of them.
fn nodes_of(place: &Global, home: &Home) -> Vec<Candidate> {
    let mut found = selectors();
    let cluster = home.cluster(&place.name).ok().flatten();
    let manifest = cluster.and_then(|cluster| cluster.manifest().ok().flatten());
    let Some(manifest) = manifest else {
        return found;
    };
    let ports = manifest.nodes.iter().enumerate();
    found.extend(ports.map(|(number, node)| {
        let index = number + 1;
        Candidate::new(node.addr.port.to_string(), format!("node {index}"))
    }));
    for shard in 1..=manifest.spec.primaries {
        let about = format!("the primary of shard {shard}");
        found.push(Candidate::new(format!("primary:{shard}"), about));
    }
    for shard in 1..=manifest.spec.primaries {
        if manifest.spec.replicas > 0 {
            let about = format!("the replicas of shard {shard}");
            found.push(Candidate::new(format!("replica:{shard}"), about));
        }
    }
    found
}

fn servers(home: &Home) -> Vec<Candidate> {
    let servers = home.servers().ok().flatten();
    let mut servers = servers
        .and_then(|servers| servers.all().ok())
        .unwrap_or_default();
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    servers
        .iter()
        .map(|server| {
            let about = match &server.record {
                Ok(record) => format!("{} {}", record.kind, record.version),
                Err(_) => "damaged".into(),
            };
            Candidate::new(server.name.as_str(), about)
        })
        .collect()
}

fn packages() -> Vec<Candidate> {
    PACKAGES
        .iter()
        .map(|package| {
            let name = format!("{}-{}", package.kind, package.version);
            Candidate::new(name, "can be installed")
        })
        .collect()
}
