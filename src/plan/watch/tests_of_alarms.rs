//! What is wrong is told, and nothing is called wrong that is as it should be.

use std::time::Duration;

use super::fixture::Fake;
use super::{Found, Mood, Standing};
use crate::cluster::{NodeId, OpenSlot};

/// The last events, with their signs.
fn moods(fake: &Fake, count: usize) -> Vec<(Mood, String)> {
    let events: Vec<_> = fake.model.events().collect();
    let last = events.iter().skip(events.len().saturating_sub(count));
    last.map(|event| (event.mood, event.text.clone())).collect()
}

#[test]
fn who_is_forgotten_by_others_is_told_of() {
    let mut fake = Fake::seen(3);
    for node in &mut fake.nodes[..5] {
        node.forgot = vec![5];
    }
    assert_eq!(fake.look(), ["cluster ok -> degraded"]);
    let picture = fake.model.picture();
    let row = picture.rows().next().expect("a row");
    assert_eq!(
        (row.state.as_str(), row.mood, row.why.as_deref()),
        ("apart", Mood::Warn, Some("does not know 7006"))
    );
    assert_eq!(
        fake.look(),
        ["7001, 7002, 7003, 7004 and 1 more do not know 7006"]
    );
    assert!(fake.look().is_empty(), "said once");
    for node in &mut fake.nodes {
        node.forgot.clear();
    }
    assert_eq!(
        fake.look(),
        [
            "7001, 7002, 7003, 7004 and 1 more know all nodes again",
            "cluster degraded -> ok"
        ]
    );
}

#[test]
fn links_of_the_bus_count_and_those_to_the_dead_do_not() {
    let mut fake = Fake::seen(2);
    fake.nodes[1].cut_off = vec![0, 2];
    assert!(fake.look().is_empty(), "it may be there again at once");
    assert_eq!(
        fake.look(),
        [
            "7002 has no bus link to 7001, 7003",
            "cluster ok -> degraded"
        ]
    );
    fake.nodes[1].cut_off.clear();
    assert_eq!(
        fake.look(),
        ["7002 has all bus links again", "cluster degraded -> ok"]
    );
    // A link that breaks for a moment is no event.
    fake.nodes[1].cut_off = vec![0];
    fake.look();
    fake.nodes[1].cut_off.clear();
    assert!(fake.look().is_empty());
    fake.nodes[3].instead = Some(Found::Dead { stopped: false });
    assert_eq!(
        fake.look(),
        ["7004 died (pid 103)", "cluster ok -> degraded"]
    );
    assert!(fake.look().is_empty() && fake.look().is_empty());
}

#[test]
fn nodes_that_say_otherwise_for_long_are_not_ok() {
    let mut fake = Fake::seen(2);
    let apart = |fake: &mut Fake| {
        fake.round += 1;
        for number in 0..4 {
            let mut look = fake.look_at(number);
            if number == 0
                && let Found::Answers(seen) = &mut look.found
            {
                seen.nodes[1].config_epoch = 1;
            }
            fake.model.take(number, look);
        }
        fake.model.settle(Duration::from_secs(fake.round));
        fake.model.picture().standing
    };
    assert_eq!(apart(&mut fake), Standing::Ok, "gossip may be on its way");
    assert_eq!(apart(&mut fake), Standing::Degraded);
    assert_eq!(
        moods(&fake, 2),
        [
            (
                Mood::Warn,
                "7001 says otherwise than the node itself of 7002".to_owned()
            ),
            (Mood::Warn, "cluster ok -> degraded".to_owned())
        ]
    );
    fake.look();
    assert_eq!(fake.model.picture().standing, Standing::Ok);
}

#[test]
fn a_cluster_that_is_being_formed_has_one_event() {
    let mut fake = Fake::new(3);
    let mut watched = Fake::watched(&fake.nodes);
    watched.formed = false;
    // A new one: its ids are not those of the cluster that the model was made with.
    fake.model = super::Model::new(watched);
    let ready = fake.nodes.clone();
    for node in &mut fake.nodes {
        node.slots.clear();
        node.primary = None;
        node.ok = false;
    }
    assert!(fake.look().is_empty());
    assert_eq!(fake.model.picture().standing, Standing::Unformed);
    // They boot as replicas of each other, and take over.
    fake.nodes = ready.clone();
    for (node, slots) in fake.nodes.iter_mut().zip([0, 1, 2, 0, 1, 2]) {
        node.ok = false;
        node.primary = Some((slots + 1) % 3);
    }
    assert!(fake.look().is_empty());
    fake.nodes = ready;
    for node in &mut fake.nodes {
        node.ok = false;
    }
    assert!(fake.look().is_empty());
    assert_eq!(fake.model.picture().standing, Standing::Forming);
    for node in &mut fake.nodes {
        node.ok = true;
    }
    assert_eq!(fake.look(), ["cluster formed: 3 primaries, 3 replicas"]);
    assert!(fake.look().is_empty());
    // From now on a failover is one.
    fake.fail_over(3);
    let events = fake.look();
    assert_eq!(events[0], "failover! 7004 is primary now, after 7001");
}

#[test]
fn other_ids_on_the_same_ports_are_another_cluster() {
    let mut fake = Fake::seen(3);
    let before = fake.model.happened();
    let mut other = Fake::new(3);
    for (number, node) in (100..).zip(&mut other.nodes) {
        node.id = NodeId::from_bytes([number; 20]);
        node.pid += 100;
    }
    fake.nodes = other.nodes;
    let watched = Fake::watched(&fake.nodes);
    fake.model.open(watched, Duration::from_secs(5));
    fake.look();
    let new = fake.model.happened() - before;
    assert_eq!(
        moods(&fake, new),
        [(
            Mood::Plain,
            "the cluster was made anew, with 6 nodes".to_owned()
        )]
    );
    assert_eq!(fake.model.picture().standing, Standing::Ok);
}

#[test]
fn a_start_and_a_stop_that_are_wanted_alarm_nobody() {
    let mut fake = Fake::seen(2);
    for node in &mut fake.nodes {
        node.instead = Some(Found::Dead { stopped: true });
    }
    fake.look();
    assert_eq!(
        moods(&fake, 1),
        [(Mood::Plain, "cluster ok -> stopped".to_owned())]
    );
    for node in &mut fake.nodes {
        node.pid += 50;
        node.ok = false;
        node.instead = None;
    }
    let refused = Found::Unreachable("cannot be reached (Connection refused)".into());
    fake.nodes[2].instead = Some(refused.clone());
    let events = fake.look();
    assert_eq!(
        events,
        [
            "7001 came back after 1 s (pid 150)",
            "7002 came back after 1 s (pid 151)",
            "7004 came back after 1 s (pid 153)",
            "cluster stopped -> starting"
        ]
    );
    let picture = fake.model.picture();
    assert_eq!(picture.shards[0].nodes[1].state, "starting");
    assert!(picture.rows().all(|row| row.mood < Mood::Bad));
    for node in &mut fake.nodes {
        node.ok = true;
        node.instead = None;
    }
    assert_eq!(
        fake.look(),
        [
            "7003 came back after 2 s (pid 152)",
            "cluster starting -> ok"
        ]
    );
    // Who has listened, and does not any more, is in trouble.
    fake.nodes[2].instead = Some(refused);
    let events = fake.look();
    assert_eq!(events[0], "7003 cannot be reached (Connection refused)");
    assert_eq!(fake.model.picture().shards[0].nodes[1].state, "hung");
}

#[test]
fn who_never_listens_is_told_of_in_the_end() {
    let mut fake = Fake::new(1);
    fake.nodes[1].instead = Some(Found::Unreachable("cannot be reached (x)".into()));
    let mut events = Vec::new();
    for _ in 0..8 {
        events.extend(fake.look());
    }
    assert!(
        events.contains(&"7002 cannot be reached (x)".to_owned()),
        "{events:?}"
    );
}

#[test]
fn slots_that_begin_to_move_are_told_of_once() {
    let mut fake = Fake::seen(2);
    let [first, second] = [0, 1].map(|number: usize| fake.nodes[number].id.clone());
    let open = |slot, migrating, peer: &NodeId| OpenSlot {
        slot,
        migrating,
        peer: peer.clone(),
    };
    fake.nodes[0].open = vec![open(100, true, &second)];
    fake.nodes[1].open = vec![open(100, false, &first)];
    assert_eq!(fake.look(), ["slot 100 is on its way from 7001 to 7002"]);
    fake.nodes[0].open = vec![open(101, true, &second)];
    fake.nodes[1].open.clear();
    assert!(fake.look().is_empty(), "one after the other");
}
