//! What the verbs do.
//!
//! Every value is made once and flows down: `Context` (who asks, until when) → lock → manifest →
//! `fleet` (the nodes and our connections to them) → `launch`, `seeded`, `commands`
//! (forming) → `settle`, `ready` → an [`Answer`]. Nothing here prints or parses arguments.

mod access;
mod answer;
mod call;
mod clean;
mod clean_logs;
mod commands;
mod context;
mod create;
mod doctor;
mod env;
mod existing_data;
mod export;
mod failover;
mod fleet;
mod follow;
mod kill;
mod launch;
mod limits;
mod list;
mod logs;
mod new;
mod programs;
mod ready;
mod restart;
mod resume;
#[cfg(feature = "cli")]
mod run;
mod same_server;
mod security;
mod seeded;
mod servers;
mod settle;
mod start;
mod status;
mod stop;
mod supervise;
mod talk;
mod temporary;
mod tick;
mod trouble;
mod up;
mod wait;
mod wait_for;
mod watch;
mod wish;

pub use answer::{Answer, Entrance, NodeAnswer, ProcessState, ShardAnswer, State};
pub use call::{Called, Silence, call};
pub use clean::{Cleaned, clean, down};
pub use clean_logs::{Emptied, clean_logs};
pub use context::Context;
pub use create::{CreateWish, Planned, create, plan_create};
pub use doctor::{DoctorWish, doctor};
pub use env::{EnvAnswer, EnvFormat, VARIABLES, Variable, env, environment, url};
pub use export::{Exported, export, scrub};
pub use failover::fail_over;
pub use follow::{LogStart, NodeLine};
pub use kill::kill;
pub use list::{Listed, list};
pub use logs::{LogSink, LogsWish, follow_logs, logs};
pub use restart::{RestartWish, Restarted, restart};
#[cfg(feature = "cli")]
pub use run::{Command, RunEnd, run};
pub use servers::{
    ChosenServer, InstallWish, Installation, ListedServer, RemovedServer, ServerAnswer,
    ServerState, UsableServer, install_server, list_servers, remove_server, use_server,
};
pub use start::start;
pub use status::status;
pub use stop::{StopResult, Stopped, stop};
pub use supervise::{Foreground, Restart};
pub use talk::{Heard, Talk, Visit, unanswerable, visit};
pub use temporary::{Temporary, TemporaryWish};
pub use trouble::{Trouble, TroubleKind, Troubles, troubles};
pub use up::up;
pub use wait_for::{WaitFor, wait_for};
pub use watch::{News, Watch};
pub use wish::{DEFAULT_PORT, Forgetting, StartWish, TlsWish};
