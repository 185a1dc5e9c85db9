//! `up`: a ready cluster, whatever there is now.

use super::answer::Answer;
use super::context::Context;
use super::create::form_or_verify;
use super::limits;
use super::new::{Made, make};
use super::programs::Programs;
use super::resume::resume_forming;
use super::seeded::finish_seeded;
use super::start::{
    answer, bring_up, interrupted_forming, refuse_differences, start_existing, usable_manifest,
};
use super::wish::StartWish;
use crate::error::Result;
use crate::store::{Cluster, Lock, Work};

/// Has the cluster run and be formed. A new one is started as a cluster from the first moment;
/// nodes that were started are formed by commands; dead nodes of a formed one are started again.
pub async fn up(context: &Context, wish: &StartWish) -> Result<Answer> {
    raise(context, wish, &mut Reached::Nothing).await
}

/// How far [`raise`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The cluster is not ours to touch: somebody else may have its lock.
    Nothing,
    /// There was such a cluster, and it is locked by us.
    Found,
    /// There was none: what there is now is ours.
    Made,
}

/// [`up`], which says in `reached` how far it has come, should it be dropped.
pub(super) async fn raise(
    context: &Context,
    wish: &StartWish,
    reached: &mut Reached,
) -> Result<Answer> {
    wish.check()?;
    let found = limits::before_making(context, wish).await?;
    let Some((cluster, lock)) = context.lock(true).await? else {
        return Err(context.no_such_cluster());
    };
    let Some(mut manifest) = usable_manifest(context, &cluster).await? else {
        *reached = Reached::Made;
        return seed(context, &cluster, &lock, wish, found).await;
    };
    *reached = Reached::Found;
    if manifest.formed {
        return start_existing(context, &cluster, manifest, wish).await;
    }
    refuse_differences(context, &cluster, &manifest, wish)?;
    if let Some(journal) = interrupted_forming(&cluster, &manifest)? {
        let (fleet, views) =
            resume_forming(context, &cluster, &mut manifest, &journal, wish).await?;
        return answer(context, &cluster, &mut manifest, fleet, Some(views), true).await;
    }
    let (fleet, ..) = bring_up(context, &cluster, &mut manifest, wish, None).await?;
    form_or_verify(context, &cluster, manifest, fleet).await
}

/// Starts a new cluster as a cluster from the first moment.
async fn seed(
    context: &Context,
    cluster: &Cluster,
    lock: &Lock,
    wish: &StartWish,
    found: Option<Programs>,
) -> Result<Answer> {
    let finish = async |mut made: Made| {
        let views = finish_seeded(context, cluster, &mut made).await?;
        let views = Some(views);
        answer(
            context,
            cluster,
            &mut made.manifest,
            made.fleet,
            views,
            true,
        )
        .await
    };
    make(context, cluster, lock, wish, found, Work::Seeding, finish).await
}

/// [`up`] in a home that was made for this cluster alone, with servers that were found elsewhere.
pub(super) async fn up_with(
    context: &Context,
    wish: &StartWish,
    programs: Programs,
) -> Result<Answer> {
    let Some((cluster, lock)) = context.lock(true).await? else {
        return Err(context.no_such_cluster());
    };
    seed(context, &cluster, &lock, wish, Some(programs)).await
}
