//! Which server a node is started with again: the one that wrote its data last, or the one that was
//! asked for, if it may have that data.

use super::context::Context;
use super::fleet::Fleet;
use super::programs::Programs;
use super::wish::StartWish;
use crate::error::{Error, Result};
use crate::server::{Binary, Version};
use crate::store::{Manifest, ServerInfo};

/// Refuses `--server` and `--server-for` if they name other servers than those that run.
pub(super) async fn refuse_other_server_than_runs(
    context: &Context,
    manifest: &Manifest,
    fleet: &Fleet,
    wish: &StartWish,
) -> Result<()> {
    let running = fleet.numbers(super::fleet::Node::runs);
    refuse_other_server_on(context, manifest, wish, &running).await
}

/// Refuses `--server` and `--server-for` if they name other servers than those that were recorded.
pub(super) async fn refuse_other_server(
    context: &Context,
    manifest: &Manifest,
    wish: &StartWish,
) -> Result<()> {
    let all: Vec<usize> = (0..manifest.nodes.len()).collect();
    refuse_other_server_on(context, manifest, wish, &all).await
}

async fn refuse_other_server_on(
    context: &Context,
    manifest: &Manifest,
    wish: &StartWish,
    numbers: &[usize],
) -> Result<()> {
    if wish.server.is_none() && wish.servers.is_empty() {
        return Ok(());
    }
    let Some(mut programs) = Programs::recorded(manifest) else {
        return Ok(());
    };
    if let Some(server) = &wish.server {
        programs = Programs::of(context.find_server(Some(server)).await?);
    }
    programs.add(context, wish).await?;
    refuse_mixture(manifest, &programs, numbers)
}

/// Refuses `programs` that differ in kind or version from what the nodes `numbers` run.
fn refuse_mixture(manifest: &Manifest, programs: &Programs, numbers: &[usize]) -> Result<()> {
    for &number in numbers {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        let recorded = manifest.server_of(number);
        let binary = programs.program(&manifest.spec, number, entry.addr.port);
        if !is_same(recorded, binary) {
            return Err(Error::ShapeDiffers {
                name: manifest.name.clone(),
                differences: vec![format!(
                    "{} runs {} {}, not {binary}",
                    entry.addr, recorded.kind, recorded.version
                )],
            });
        }
    }
    Ok(())
}

fn is_same(recorded: &ServerInfo, binary: &Binary) -> bool {
    binary.kind.to_string() == recorded.kind && binary.version.to_string() == recorded.version
}

/// The servers for nodes that are to be started: those that were asked for, else those that
/// last wrote the data, else any on `PATH`.
pub(super) async fn programs_for(
    context: &Context,
    manifest: &Manifest,
    wish: &StartWish,
    fleet: &Fleet,
    dead: &[usize],
) -> Result<Programs> {
    let mut programs = Programs::of(match &wish.server {
        Some(server) => context.find_server(Some(server)).await?,
        None => again(context, &manifest.server).await?,
    });
    // Who says nothing gets each node's own server again; --server speaks of all. Many nodes may
    // share one, which is asked once.
    let mut asked: Vec<(&ServerInfo, Binary)> = Vec::new();
    for (number, entry) in manifest.nodes.iter().enumerate() {
        let (None, Some(own)) = (&wish.server, &entry.server) else {
            continue;
        };
        let known = asked.iter().find(|(info, _)| *info == own);
        let binary = if let Some((_, binary)) = known {
            binary.clone()
        } else {
            let binary = again(context, own).await?;
            asked.push((own, binary.clone()));
            binary
        };
        programs.set(number, binary);
    }
    programs.add(context, wish).await?;
    programs.check(&manifest.spec).await?;
    for &number in dead {
        let Some(entry) = manifest.nodes.get(number) else {
            continue;
        };
        let recorded = manifest.server_of(number);
        let binary = programs.program(&manifest.spec, number, entry.addr.port);
        let older =
            Version::parse(&recorded.version).is_some_and(|recorded| binary.version < recorded);
        if (older || binary.kind.to_string() != recorded.kind) && !wish.yes {
            return Err(Error::Unconfirmed {
                what: format!(
                    "give data that {} {} wrote to {binary}, which may not understand it",
                    recorded.kind, recorded.version
                ),
            });
        }
    }
    let mut must_be_same = fleet.numbers(super::fleet::Node::runs);
    if !must_be_same.is_empty() {
        // A mixture is made on purpose, with --server-for, or not at all.
        must_be_same.extend(dead.iter().copied().filter(|&number| {
            let port = manifest
                .nodes
                .get(number)
                .map_or(0, |entry| entry.addr.port);
            !wish.names_server_of(&manifest.spec, number, port)
        }));
        refuse_mixture(manifest, &programs, &must_be_same)?;
    }
    Ok(programs)
}

/// The server that last wrote a node's data; if that is gone, the one that any new cluster would get.
async fn again(context: &Context, recorded: &ServerInfo) -> Result<Binary> {
    match Binary::probe(&recorded.path).await {
        Ok(binary) => return Ok(binary),
        Err(error) if recorded.path.exists() => return Err(error),
        Err(_) => {}
    }
    let gone = format!("the server {} is gone", recorded.path.display());
    let Ok(found) = context.find_server(None).await else {
        return Err(Error::Unfit {
            message: gone,
            hint: "put it back, or name another with --server PATH".into(),
        });
    };
    if !is_same(recorded, &found) {
        return Err(Error::Unfit {
            message: format!(
                "{gone}, and what there is instead is {found}, not {} {}",
                recorded.kind, recorded.version
            ),
            hint: "put it back, or name another with --server PATH".into(),
        });
    }
    context.events.note(format!(
        "{gone}; taking {found} at {}",
        found.path.display()
    ));
    Ok(found)
}
