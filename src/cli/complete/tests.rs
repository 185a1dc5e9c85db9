use clap::builder::ValueHint;
use clap::{Arg, ArgAction, Command};

use super::*;

fn at(line: &str) -> Completion {
    let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
    Completion::of(&words)
}

fn texts(line: &str) -> Vec<String> {
    let candidates = at(line).candidates.into_iter();
    candidates.map(|candidate| candidate.text).collect()
}

#[test]
fn verbs_are_completed_and_those_of_verbs() {
    assert_eq!(texts("rcluster sta"), ["start", "status"]);
    assert_eq!(texts("rcluster -q --json -n x sta"), ["start", "status"]);
    assert_eq!(
        texts("rcluster server "),
        ["list", "install", "use", "remove"]
    );
    assert_eq!(texts("rcluster server -n server us"), ["use"]);
    assert_eq!(texts("rcluster man server in"), ["install"]);
    assert!(!texts("rcluster ").iter().any(|text| text.starts_with('-')));
    for line in [
        "rcluster up sta",
        "rcluster frobnicate sta",
        "rcluster -- sta",
    ] {
        assert_eq!(texts(line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn options_are_completed_once_unless_they_may_be_repeated() {
    assert_eq!(texts("rcluster up --prim"), ["--primaries"]);
    assert_eq!(texts("rcluster --js"), ["--json"]);
    assert_eq!(
        texts("rcluster up --primaries 3 --prim"),
        Vec::<String>::new()
    );
    assert_eq!(texts("rcluster up --set a=b --set"), ["--set", "--set-for"]);
    assert_eq!(texts("rcluster up -y"), ["-y"]);
    assert!(texts("rcluster up -").contains(&"--replicas".to_owned()));
    assert!(texts("rcluster status ").contains(&"--json".to_owned()));
    let about = &at("rcluster up --prim").candidates[0].about;
    assert!(about.starts_with("Primaries"), "{about}");
    // It is a value.
    assert_eq!(texts("rcluster up --user --prim"), Vec::<String>::new());
}

#[test]
fn values_follow_from_the_option() {
    assert_eq!(texts("rcluster --color a"), ["auto", "always"]);
    assert_eq!(texts("rcluster up --color=n"), ["--color=never"]);
    assert_eq!(
        texts("rcluster up --tls="),
        ["--tls=only", "--tls=both", "--tls=no"]
    );
    assert_eq!(
        texts("rcluster up --ephemeral="),
        ["--ephemeral=yes", "--ephemeral=no"]
    );
    assert_eq!(texts("rcluster up --port "), ["auto"]);
    assert_eq!(texts("rcluster completions "), ["bash", "zsh", "fish"]);
    // Its value must be attached: this is the next word.
    assert!(texts("rcluster up --tls --").contains(&"--port".to_owned()));
}

#[test]
fn what_the_disk_knows_is_asked_for() {
    for (line, wanted, lead, value) in [
        ("rcluster -n se", vec![Wanted::Clusters], "", "se"),
        ("rcluster -nse", vec![Wanted::Clusters], "-n", "se"),
        ("rcluster -qnse", vec![Wanted::Clusters], "-qn", "se"),
        (
            "rcluster stop --name=se",
            vec![Wanted::Clusters],
            "--name=",
            "se",
        ),
        ("rcluster --home x", vec![Wanted::Directories], "", "x"),
        (
            "rcluster server use x",
            vec![Wanted::Servers, Wanted::Files],
            "",
            "x",
        ),
        ("rcluster server remove ", vec![Wanted::Servers], "", ""),
        (
            "rcluster up --server ",
            vec![Wanted::Files, Wanted::Servers],
            "",
            "",
        ),
        ("rcluster up --server-for re", vec![Wanted::Nodes], "", "re"),
        (
            "rcluster up --server-for replica=/o",
            vec![Wanted::Files],
            "replica=",
            "/o",
        ),
        ("rcluster up --set-for re", vec![Wanted::Nodes], "", "re"),
        ("rcluster up --set-for replica ma", vec![], "", "ma"),
        ("rcluster up --conf x", vec![Wanted::Files], "", "x"),
    ] {
        let found = at(line);
        assert_eq!(found.wanted, wanted, "{line}");
        assert_eq!(
            (found.lead.as_str(), found.value.as_str()),
            (lead, value),
            "{line}"
        );
    }
    let found = at("rcluster server install ");
    assert_eq!(found.wanted, [Wanted::Servers, Wanted::Packages]);
    assert_eq!(at("rcluster up --server-for ").trail, "=");
}

#[test]
fn verbs_that_take_nodes_and_commands_need_nothing_here() {
    let nodes = Arg::new("node").num_args(0..).value_name("NODE");
    let nodes = nodes.action(ArgAction::Append);
    let command = Arg::new("command").num_args(1..).value_name("CMD");
    let command = command.value_hint(ValueHint::CommandName);
    let command = command.action(ArgAction::Append);
    let last = command.clone().last(true);
    let command = command.trailing_var_arg(true);
    let mut root = Command::new("rcluster")
        .subcommand(Command::new("restart").arg(nodes.clone()))
        .subcommand(Command::new("run").arg(command))
        .subcommand(Command::new("cli").arg(nodes).arg(last));
    root.build();
    let wanted = |line: &str| {
        let mut cursor = Cursor::new(&root);
        let (last, before) = line
            .rsplit_once(' ')
            .map(|(b, l)| (l, b))
            .expect("two words");
        before.split(' ').for_each(|word| cursor.pass(word));
        cursor.complete(last).wanted
    };
    for (line, expected) in [
        ("restart ", Wanted::Nodes),
        ("restart 1 2 ", Wanted::Nodes),
        ("run ", Wanted::Commands),
        ("run -- ", Wanted::Commands),
        ("run -- ls ", Wanted::Files),
        ("run ls --a", Wanted::Files),
        ("cli ", Wanted::Nodes),
        ("cli -- ", Wanted::Commands),
    ] {
        assert_eq!(wanted(line), [expected], "{line}");
    }
}

#[test]
fn the_cluster_that_is_meant_is_remembered() {
    let found = at("rcluster --home /x -n a stop --config=none --timeout 5s --");
    assert_eq!(found.place, ["--home=/x", "--name=a", "--config=none"]);
}

#[test]
fn words_of_bash_are_read_and_nothing_in_them_is_run() {
    for (word, text) in [
        ("up", "up"),
        ("'a b'", "a b"),
        ("\"a b", "a b"),
        ("a\\ b", "a b"),
        ("\"a\\\"b\"", "a\"b"),
        ("'a\\b'", "a\\b"),
        ("$(touch x)", "$(touch x)"),
        ("'~/x'", "'~/x'".trim_matches('\'')),
    ] {
        assert_eq!(unquoted(word), text, "{word}");
    }
}
