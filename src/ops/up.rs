//! `up`: a ready cluster, whatever there is now.

use super::answer::Answer;
use super::context::Context;
use super::create::form_or_verify;
use super::new::{StartWish, make};
use super::resume::{no_seed, resume_forming};
use super::seeded::finish_seeded;
use super::start::{answer, bring_up, refuse_differences, start_existing, usable_manifest};
use crate::error::Result;
use crate::server::Binary;
use crate::store::{Journal, ServerInfo, Work};

/// Has the cluster run and be formed. A new one is started as a cluster from the first moment;
/// nodes that were started are formed by commands; dead nodes of a formed one are started again.
pub async fn up(context: &Context, wish: &StartWish) -> Result<Answer> {
    wish.spec()?;
    let Some((cluster, lock)) = context.lock(true).await? else {
        return Err(context.no_such_cluster());
    };
    let Some(mut manifest) = usable_manifest(context, &cluster)? else {
        let mut made = make(context, &cluster, &lock, wish, Work::Seeding).await?;
        let seed = made.seed.clone().ok_or_else(no_seed)?;
        let ServerInfo { path, .. } = &made.manifest.server;
        let binary =
            super::fleet::binary_of(&made.manifest).map_or(Binary::probe(path).await, Ok)?;
        let views =
            finish_seeded(context, &cluster, &mut made, &seed, binary.capabilities()).await?;
        return answer(
            context,
            &cluster,
            &made.manifest,
            made.fleet,
            Some(views),
            true,
        )
        .await;
    };
    if manifest.formed {
        return start_existing(context, &cluster, manifest, wish).await;
    }
    refuse_differences(context, &manifest, wish)?;
    let journal = cluster.journal()?;
    if let Some(journal) = journal.as_ref().filter(|journal| journal.is_forming()) {
        let (fleet, views) = resume_forming(context, &cluster, &mut manifest, journal).await?;
        return answer(context, &cluster, &manifest, fleet, Some(views), true).await;
    }
    let making = journal.filter(|journal: &Journal| journal.work == Work::Making);
    let (fleet, ..) = bring_up(context, &cluster, &mut manifest, wish, making).await?;
    form_or_verify(context, &cluster, manifest, fleet).await
}
