//! What the verbs do.
//!
//! Every value is made once and flows down: `Context` (who asks, until when) → lock → manifest →
//! `fleet` (the nodes and our connections to them) → `launch`, `seeded`, `commands`
//! (forming) → `settle`, `ready` → an [`Answer`]. Nothing here prints or parses arguments.

mod answer;
mod clean;
mod commands;
mod context;
mod create;
mod doctor;
mod fleet;
mod launch;
mod limits;
mod list;
mod new;
mod ready;
mod resume;
mod seeded;
mod settle;
mod start;
mod status;
mod stop;
mod tick;
mod up;
mod wait;

pub use answer::{Answer, NodeAnswer, ProcessState, State};
pub use clean::{Cleaned, clean, down};
pub use context::Context;
pub use create::{CreateWish, Planned, create, plan_create};
pub use doctor::{DoctorWish, doctor};
pub use list::{Listed, list};
pub use start::{StartWish, start};
pub use status::status;
pub use stop::{StopResult, Stopped, stop};
pub use up::up;
