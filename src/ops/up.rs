//! `up`: a ready cluster, whatever there is now.

use super::answer::Answer;
use super::context::Context;
use super::create::form_or_verify;
use super::limits;
use super::new::make;
use super::resume::resume_forming;
use super::seeded::finish_seeded;
use super::start::{
    answer, bring_up, interrupted_forming, refuse_differences, start_existing, usable_manifest,
};
use super::wish::StartWish;
use crate::error::Result;
use crate::store::Work;

/// Has the cluster run and be formed. A new one is started as a cluster from the first moment;
/// nodes that were started are formed by commands; dead nodes of a formed one are started again.
pub async fn up(context: &Context, wish: &StartWish) -> Result<Answer> {
    wish.check()?;
    let found = limits::before_making(context, wish).await?;
    let Some((cluster, lock)) = context.lock(true).await? else {
        return Err(context.no_such_cluster());
    };
    let Some(mut manifest) = usable_manifest(context, &cluster).await? else {
        return make(
            context,
            &cluster,
            &lock,
            wish,
            found,
            Work::Seeding,
            async |mut made| {
                let views = finish_seeded(context, &cluster, &mut made).await?;
                answer(
                    context,
                    &cluster,
                    &mut made.manifest,
                    made.fleet,
                    Some(views),
                    true,
                )
                .await
            },
        )
        .await;
    };
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
