//! What people type who know another tool: the verb here is not what it is called there.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

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

/// Has the error of an unknown verb say what does the same here, if that is known: likeness of letters
/// leads from `destroy` to `restart`.
pub(super) fn advise(error: &mut Error) {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let known = WORDS
        .iter()
        .find(|(words, _)| words.contains(&word.as_str()));
    if let Some((_, verb)) = known {
        let tip = StyledStr::from(format!("that is `rcluster {verb}` here"));
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

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
                advise(&mut error);
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
        advise(&mut error);
        assert!(error.to_string().contains("'status'"), "{error}");
    }
}
