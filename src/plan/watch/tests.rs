//! What looks come to, and what is told of them.

use std::time::Duration;

use proptest::prelude::*;

use super::fixture::{Fake, range};
use super::{Found, Link, Look, Mood, Picture, Standing};
use crate::cluster::{NodeId, OpenSlot};

const DEAD: Option<Found> = Some(Found::Dead { stopped: false });

/// The names of the nodes of each shard, with its number and its count of slots.
fn shards(picture: &Picture) -> Vec<(Option<usize>, usize, Vec<&str>)> {
    picture
        .shards
        .iter()
        .map(|row| {
            (
                row.number,
                row.slot_count(),
                row.nodes.iter().map(|node| node.name.as_str()).collect(),
            )
        })
        .collect()
}

#[test]
fn shards_stand_in_slot_order_and_a_quiet_cluster_has_no_news() {
    let mut fake = Fake::new(3);
    assert_eq!(fake.model.picture().standing, Standing::Looking);
    assert!(fake.look().is_empty());
    assert!(fake.look().is_empty());
    let picture = fake.model.picture();
    assert_eq!(picture.standing, Standing::Ok);
    assert_eq!(
        (picture.served, picture.answering, picture.nodes),
        (16384, 6, 6)
    );
    assert!(picture.gaps.is_empty());
    assert_eq!(
        shards(&picture),
        [
            (Some(1), 5461, vec!["7001", "7004"]),
            (Some(2), 5461, vec!["7002", "7005"]),
            (Some(3), 5462, vec!["7003", "7006"]),
        ]
    );
    let replica = &picture.shards[0].nodes[1];
    assert_eq!(
        (replica.link, replica.lag, replica.replica),
        (Some(Link::Up), Some(0), Some(true))
    );
    assert_eq!((replica.state.as_str(), replica.bus), ("ok", Some((5, 5))));
    assert_eq!(picture.shards[0].nodes[0].link, None);
}

#[test]
fn a_death_a_failover_and_a_return_are_told_in_their_order() {
    let mut fake = Fake::seen(3);
    fake.nodes[1].instead = DEAD;
    assert_eq!(
        fake.look(),
        ["7002 died (pid 101)", "cluster ok -> degraded"]
    );
    let picture = fake.model.picture();
    assert!(!picture.shards[1].serves && picture.served == 16384 - 5461);
    assert_eq!(picture.shards[1].nodes[0].state, "dead");

    fake.nodes[1].failed = true;
    assert_eq!(fake.look(), ["the cluster calls 7002 failed"]);
    for node in &mut fake.nodes {
        node.ok = false;
    }
    assert_eq!(
        fake.look(),
        ["cluster degraded -> fail (cluster_state of 5 of 5 nodes)"]
    );
    fake.fail_over(4);
    for node in &mut fake.nodes {
        node.ok = true;
    }
    // Slots that are inherited are not told of a second time.
    assert_eq!(
        fake.look(),
        [
            "failover! 7005 is primary now, after 7002",
            "cluster fail -> degraded"
        ]
    );
    let picture = fake.model.picture();
    assert_eq!(
        shards(&picture)[1],
        (Some(2), 5461, vec!["7005", "7002"]),
        "the dead one stays with its shard"
    );
    let was = &picture.shards[1].nodes[1];
    assert_eq!(
        (was.replica, was.why.as_deref()),
        (None, Some("does not run; 7005 took over"))
    );
    assert!(picture.shards[1].serves);

    fake.nodes[1].instead = None;
    fake.nodes[1].failed = false;
    fake.nodes[1].pid = 555;
    fake.nodes[1].primary = Some(4);
    assert_eq!(
        fake.look(),
        [
            "7002 came back after 4 s (pid 555)",
            "7002 is a replica of 7005 now",
            "the cluster no longer calls 7002 failed",
            "cluster degraded -> ok"
        ]
    );
}

#[test]
fn hung_restarted_and_stopped_nodes_are_told_apart() {
    let mut fake = Fake::seen(2);
    fake.nodes[0].instead = Some(Found::Silent("does not answer".into()));
    assert_eq!(
        fake.look(),
        ["7001 does not answer", "cluster ok -> degraded"]
    );
    assert!(fake.look().is_empty(), "said once");
    let picture = fake.model.picture();
    let row = &picture.shards[0].nodes[0];
    assert_eq!(
        (row.state.as_str(), row.mood, row.ops),
        ("hung", Mood::Bad, None)
    );
    assert_eq!(
        picture.shards[0].nodes[1].lag, None,
        "behind whom, nobody knows"
    );
    fake.nodes[0].instead = None;
    assert_eq!(
        fake.look(),
        ["7001 answers again after 2 s", "cluster degraded -> ok"]
    );

    fake.nodes[3].pid = 999;
    assert_eq!(fake.look(), ["7004 was restarted (pid 103 -> 999)"]);
    fake.nodes[3].instead = Some(Found::Refuses(
        "LOADING Redis is loading the dataset in memory".into(),
    ));
    let events = fake.look();
    assert_eq!(
        events[0],
        "7004 answers: LOADING Redis is loading the dataset in memory"
    );
    assert_eq!(fake.model.picture().shards[1].nodes[1].state, "loading");
    fake.nodes[3].instead = Some(Found::Refuses("does not let rcluster in: WRONGPASS".into()));
    fake.look();
    assert_eq!(fake.model.picture().shards[1].nodes[1].state, "refuses");

    for node in &mut fake.nodes {
        node.instead = Some(Found::Dead { stopped: true });
    }
    let events = fake.look();
    assert!(
        events.contains(&"7001 was stopped".to_owned()),
        "{events:?}"
    );
    assert_eq!(
        events.last().map(String::as_str),
        Some("cluster degraded -> stopped")
    );
    let picture = fake.model.picture();
    assert_eq!(
        (picture.standing, picture.served, picture.answering),
        (Standing::Stopped, 0, 0)
    );
    assert_eq!(shards(&picture).len(), 2, "who was what is remembered");
}

#[test]
fn slots_that_move_get_lost_and_are_given_are_told() {
    let mut fake = Fake::seen(2);
    fake.nodes[0].slots = vec![range(0, 99), range(200, 8191)];
    fake.nodes[1].slots = vec![range(100, 199), range(8192, 16383)];
    fake.nodes[1].epoch = 9;
    assert_eq!(fake.look(), ["slots 100-199 (100) moved from 7001 to 7002"]);
    fake.nodes[0].slots = vec![range(0, 99), range(201, 8191)];
    assert!(fake.look().is_empty(), "it may be on its way");
    assert_eq!(
        fake.look(),
        [
            "slot 200 of 7001 has no owner now",
            "cluster ok -> degraded"
        ]
    );
    assert_eq!(fake.model.picture().gaps, [range(200, 200)]);
    fake.nodes[1].slots.push(range(200, 200));
    let events = fake.look();
    assert_eq!(
        events,
        ["slot 200 was given to 7002", "cluster degraded -> ok"]
    );
    // Both claim a slot: the greater config epoch has it, and nothing has happened.
    fake.nodes[0].slots.push(range(200, 200));
    assert!(fake.look().is_empty());

    let peer = fake.nodes[1].id.clone();
    fake.nodes[0].open = vec![OpenSlot {
        slot: 7,
        migrating: true,
        peer,
    }];
    fake.look();
    assert_eq!(fake.model.picture().shards[0].moving, [range(7, 7)]);
}

#[test]
fn links_and_lag_are_those_of_one_moment() {
    let mut fake = Fake::seen(1);
    fake.nodes[1].link_up = false;
    assert_eq!(
        fake.look(),
        ["link down: 7002 has lost 7001", "cluster ok -> degraded"]
    );
    fake.nodes[1].link_up = true;
    assert_eq!(
        fake.look(),
        ["link up: 7002 follows 7001", "cluster degraded -> ok"]
    );

    fake.nodes[0].offset = 5000;
    fake.nodes[1].offset = 4000;
    fake.look();
    assert_eq!(fake.model.picture().shards[0].nodes[1].lag, Some(1000));
    // Only the primary was looked at anew: what it wrote since then is no lag.
    fake.round += 1;
    fake.nodes[0].offset = 900_000;
    fake.model.take(0, fake.look_at(0));
    fake.model.settle(Duration::from_secs(9));
    assert_eq!(fake.model.picture().shards[0].nodes[1].lag, Some(1000));
}

#[test]
fn a_rate_is_shown_from_the_second_look_on() {
    let mut fake = Fake::seen(1);
    fake.nodes[0].commands += 503;
    fake.nodes[1].commands += 3;
    fake.look();
    let picture = fake.model.picture();
    let ops: Vec<_> = picture.rows().map(|row| row.ops).collect();
    assert_eq!((ops, picture.ops), (vec![Some(500), Some(0)], 500));
}

#[test]
fn a_cluster_that_goes_and_comes_back_is_the_same_or_another() {
    let mut fake = Fake::seen(2);
    fake.model
        .lose("the cluster was deleted", Duration::from_secs(9));
    fake.model
        .lose("the cluster was deleted", Duration::from_secs(10));
    fake.model.settle(Duration::from_secs(10));
    let picture = fake.model.picture();
    assert_eq!(
        (picture.standing, picture.answering, picture.served),
        (Standing::Gone, 0, 0)
    );
    let last = |fake: &Fake| -> Vec<String> {
        fake.model
            .events()
            .map(|event| event.text.clone())
            .collect()
    };
    assert_eq!(last(&fake), ["the cluster was deleted"], "said once");
    fake.model
        .open(Fake::watched(&fake.nodes), Duration::from_secs(11));
    let events = fake.look();
    assert_eq!(events[0], "7001 came back (pid 100)");
    assert_eq!(fake.model.picture().standing, Standing::Ok);

    let other = Fake::new(1);
    fake.model
        .open(Fake::watched(&other.nodes), Duration::from_secs(20));
    fake.nodes = other.nodes;
    assert!(
        last(&fake)
            .iter()
            .any(|text| text == "the cluster was made anew, with 2 nodes")
    );
    fake.look();
    assert_eq!(
        shards(&fake.model.picture()),
        [(Some(1), 16384, vec!["7001", "7002"])]
    );
    // A look at a node that is no more, from before.
    fake.model.take(99, fake.look_at(0));
}

#[test]
fn nodes_that_are_not_ours_are_shown_and_what_they_are_called_is_harmless() {
    let mut fake = Fake::seen(1);
    let mut other = fake.nodes[1].clone();
    other.id = NodeId::from_bytes([99; 20]);
    other.port = 7999;
    fake.nodes.push(other);
    let mut look = fake.look_at(0);
    if let Found::Answers(seen) = &mut look.found {
        seen.nodes[2].host = "\x1b[2Jevil".into();
    }
    fake.model.take(0, look);
    fake.model.settle(Duration::from_secs(9));
    let picture = fake.model.picture();
    let stranger = picture
        .rows()
        .find(|row| row.number.is_none())
        .expect("shown");
    assert_eq!(
        (stranger.name.as_str(), stranger.state.as_str()),
        (" [2Jevil:7999", "other")
    );
    let events: Vec<_> = fake.model.events().map(|event| &event.text).collect();
    assert_eq!(
        events,
        [" [2Jevil:7999 joined the cluster", "cluster ok -> degraded"],
        "status calls it that too"
    );
}

#[test]
fn nodes_that_are_no_cluster_yet_are_unformed() {
    let mut fake = Fake::new(2);
    for (number, node) in fake.nodes.iter_mut().enumerate() {
        node.slots.clear();
        node.primary = None;
        node.ok = false;
        node.epoch = number as u64;
    }
    assert!(fake.look().is_empty());
    let picture = fake.model.picture();
    assert_eq!(picture.standing, Standing::Unformed);
    assert!(picture.shards.iter().all(|shard| shard.number.is_none()));
    assert_eq!(picture.rows().count(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever nodes say in whatever order: every node has its row, once, no slot is counted
    /// twice, and nothing panics.
    #[test]
    fn no_story_loses_a_node(steps in prop::collection::vec((0usize..6, 0u8..9, any::<u16>()), 0..60)) {
        let mut fake = Fake::new(3);
        for (number, what, slot) in steps {
            let slot = slot % 16384;
            match what {
                0 => fake.nodes[number].instead = DEAD,
                1 => fake.nodes[number].instead = Some(Found::Silent("x".into())),
                2 => fake.nodes[number].instead = None,
                3 if fake.nodes[number].primary.is_some() => fake.fail_over(number),
                4 => fake.nodes[number].primary = Some((number + usize::from(slot)) % 6),
                5 => fake.nodes[number].slots = vec![range(slot, 16383)],
                6 => fake.nodes[number].failed ^= true,
                7 => fake.nodes[number].epoch = slot.into(),
                _ => fake.nodes[number].pid += 1,
            }
            fake.round += u64::from(slot % 3);
            let look: Look = fake.look_at(number);
            fake.model.take(number, look);
            fake.model.settle(Duration::from_secs(fake.round));
            let picture = fake.model.picture();
            let mut rows: Vec<_> = picture.rows().map(|row| row.number).collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..6).map(Some).collect::<Vec<_>>());
            let owned: usize = picture.shards.iter().map(super::ShardRow::slot_count).sum();
            let gaps: usize = picture.gaps.iter().map(|range| usize::from(range.len())).sum();
            // Before anybody has said anything there are no gaps either.
            prop_assert!(owned + gaps == 16384 || owned + gaps == 0, "{} + {}", owned, gaps);
        }
    }
}
