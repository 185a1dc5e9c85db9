//! What people type who know another tool: the verb here is not what it is called there.

use clap::error::{ContextKind, ContextValue, Error};

/// A verb of create-cluster, redis-cli, docker, kind or tmux, and what does the same here.
const WORDS: &[(&[&str], &str)] = &[
    (&["call-all", "exec-all"], "call -- CMD"),
    (&["clean-logs"], "clean --logs"),
    (&["connect", "redis-cli", "shell", "valkey-cli"], "cli"),
    (&["delete", "destroy", "remove", "rm", "teardown"], "down"),
    (&["exec"], "run -- CMD"),
    (&["info", "nodes", "ps", "show"], "status"),
    (&["init", "launch", "make", "new"], "up"),
    (&["kill-all", "shutdown"], "stop"),
    (&["log", "tailall"], "logs -f"),
    (&["ls"], "list"),
    (&["monitor", "top"], "watch"),
    (&["tail"], "logs -f NODE"),
];

/// What does the same here as the unknown verb that `error` is about, if that is known: likeness of
/// letters leads from `destroy` to `restart`.
pub(super) fn what_it_is_here(error: &Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let known = WORDS
        .iter()
        .find(|(words, _)| words.contains(&word.as_str()));
    known.map(|(_, verb)| format!("that is `rcluster {verb}` here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;
    use crate::cli::refusal::advise;

    #[test]
    fn words_of_other_tools_lead_to_verbs_that_there_are() {
        for (words, verb) in WORDS {
            let line = verb.replace("NODE", "1").replace("CMD", "true");
            let line = ["rcluster"].into_iter().chain(line.split(' '));
            assert!(command().try_get_matches_from(line).is_ok(), "{verb}");
            for word in *words {
                let mut error = command()
                    .try_get_matches_from(["rcluster", word])
                    .expect_err(word);
                advise(&mut error, &[]);
                let said = error.to_string();
                assert!(
                    said.contains(&format!("tip: that is `rcluster {verb}` here")),
                    "{said}"
                );
                assert!(!said.contains("similar"), "{said}");
            }
        }
    }

    #[test]
    fn a_verb_that_is_mistyped_is_still_guessed() {
        let mut error = command()
            .try_get_matches_from(["rcluster", "statsu"])
            .expect_err("refused");
        advise(&mut error, &[]);
        assert!(error.to_string().contains("'status'"), "{error}");
    }
}
