//! `list`: the clusters of the home.

use super::answer::{Answer, State};
use super::context::Context;
use super::status::status;
use crate::error::Result;

/// One cluster in the list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// How it is; an error's sentence if that cannot be said.
    pub state: Result<Answer, String>,
}

impl Listed {
    /// Its state, if it can be said.
    pub fn state(&self) -> Option<State> {
        self.state.as_ref().ok().map(|answer| answer.state)
    }
}

/// Looks at all clusters at once.
pub async fn list(context: &Context) -> Result<Vec<Listed>> {
    let names = context.home.names()?;
    let looks = names.into_iter().map(async |name| {
        let context = Context {
            name: name.clone(),
            ..context.clone()
        };
        Listed {
            name: name.to_string(),
            state: status(&context).await.map_err(|error| error.to_string()),
        }
    });
    Ok(futures_util::future::join_all(looks).await)
}
