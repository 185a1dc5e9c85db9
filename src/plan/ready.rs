//! The meaning of *ready*: what each node must see before a cluster may be called usable.
//!
//! The servers' own `cluster_state:ok` says less: it is reached before replicas are attached and
//! before clients are told about them (`redis-cli --cluster create` stops earlier still).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cluster::{
    ClusterInfo, NodeId, NodeLine, Role, SLOT_COUNT, ShardNode, SlotRange, SlotsEntry,
};
use crate::error::NodeProblem;

/// What one node says about itself and the cluster, all asked at one time.
#[derive(Clone, Debug)]
pub struct View {
    /// `CLUSTER INFO`.
    pub info: ClusterInfo,
    /// `CLUSTER NODES`.
    pub nodes: Vec<NodeLine>,
    /// `INFO replication`.
    pub replication: Replication,
    /// `CLUSTER SLOTS`.
    pub slots: Vec<SlotsEntry>,
    /// `CLUSTER SHARDS`, where the server knows it (7.0).
    pub shards: Option<Vec<ShardNode>>,
}

impl View {
    /// The node's own line.
    pub fn myself(&self) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.flags.myself)
    }
}

/// A node's own replication, by `INFO replication`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// `role:slave`.
    pub replica: bool,
    /// `master_link_status:up`; false for a primary.
    pub link_up: bool,
    /// `master_sync_in_progress:1`.
    pub syncing: bool,
    /// How far the node is: `slave_repl_offset`, or `master_repl_offset` of a primary.
    pub offset: u64,
}

/// The nodes of the manifest, and what is asked of their cluster.
#[derive(Clone, Debug)]
pub struct Expected {
    /// How each node is called in messages, by its number.
    pub names: Vec<String>,
    /// The nodes' ids by their number, where they are known.
    pub ids: Vec<Option<NodeId>>,
    /// Primaries with slots and replicas of each, if the shape matters.
    pub shape: Option<(usize, usize)>,
}

/// What each node lacks for the cluster to be ready; empty when it is.
///
/// `views` are numbered as the nodes are; an `Err` says why a node could not be asked. Whether
/// writes are taken is not seen from here: that is tried last, by writing.
pub fn missing(expected: &Expected, views: &[Result<View, String>]) -> Vec<NodeProblem> {
    let names = names_by_id(expected, views);
    let mut problems: Vec<Vec<String>> = Vec::new();
    for (number, view) in views.iter().enumerate() {
        problems.push(match view {
            Err(why) => vec![why.clone()],
            Ok(view) => alone(expected, number, view, &names),
        });
    }
    // Only views that are whole in themselves can be compared without saying everything twice.
    if problems.iter().all(Vec::is_empty) {
        compare(expected, views, &names, &mut problems);
    }
    problems
        .into_iter()
        .enumerate()
        .filter(|(_, messages)| !messages.is_empty())
        .map(|(number, messages)| NodeProblem::new(name_of(expected, number), messages.join("; ")))
        .collect()
}

/// What the nodes that live, by number in `lives`, lack for the cluster to serve: the same over
/// them alone, while each slot has one of them for its primary.
pub fn missing_to_serve(
    expected: &Expected,
    views: &[Result<View, String>],
    lives: &[bool],
) -> Vec<NodeProblem> {
    let living = |number: &usize| lives.get(*number) == Some(&true);
    let numbers: Vec<usize> = (0..views.len()).filter(living).collect();
    if numbers.is_empty() {
        return missing(expected, views);
    }
    let id = |number: &usize| {
        let own = views.get(*number).and_then(|view| view.as_ref().ok());
        let own = own.and_then(View::myself).map(|line| line.id.clone());
        own.or_else(|| expected.ids.get(*number).cloned().flatten())
    };
    let ids: Vec<Option<NodeId>> = numbers.iter().map(id).collect();
    let dead: BTreeSet<&NodeId> = (0..views.len())
        .filter(|number| !living(number))
        .filter_map(|number| expected.ids.get(number)?.as_ref())
        .collect();
    let without_dead = |number: &usize| {
        let view = views.get(*number)?;
        Some(view.clone().map(|mut view| {
            view.nodes.retain(|line| !dead.contains(&line.id));
            view
        }))
    };
    let among = Expected {
        names: numbers.iter().map(|&n| name_of(expected, n)).collect(),
        ids,
        shape: None,
    };
    let views: Vec<Result<View, String>> = numbers.iter().filter_map(without_dead).collect();
    let mut problems = missing(&among, &views);
    for (name, view) in among.names.iter().zip(&views) {
        let Ok(view) = view else { continue };
        let nodes = view.nodes.iter();
        let primaries = nodes.filter(|line| line.role == Role::Primary);
        let ranges = primaries.flat_map(|line| &line.slots);
        let count: u64 = ranges
            .map(|range| u64::from(range.last() - range.first()) + 1)
            .sum();
        if count < u64::from(SLOT_COUNT) {
            let lost = u64::from(SLOT_COUNT) - count;
            let text = format!("sees {lost} slots without a living primary");
            problems.push(NodeProblem::new(name, text));
        }
    }
    problems
}

fn name_of(expected: &Expected, number: usize) -> String {
    expected
        .names
        .get(number)
        .cloned()
        .unwrap_or_else(|| format!("node {}", number + 1))
}

/// Names for ids in messages: the manifest's, else what the node itself says.
fn names_by_id(expected: &Expected, views: &[Result<View, String>]) -> HashMap<NodeId, String> {
    let mut names = HashMap::new();
    for (number, view) in views.iter().enumerate() {
        let own = view
            .as_ref()
            .ok()
            .and_then(View::myself)
            .map(|node| node.id.clone());
        let recorded = expected.ids.get(number).cloned().flatten();
        for id in [own, recorded].into_iter().flatten() {
            names.insert(id, name_of(expected, number));
        }
    }
    names
}

/// What one node's view lacks, looked at alone.
fn alone(
    expected: &Expected,
    number: usize,
    view: &View,
    names: &HashMap<NodeId, String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let name = |id: &NodeId| {
        names
            .get(id)
            .cloned()
            .unwrap_or_else(|| format!("unknown node {}", id.short()))
    };
    match (
        view.myself(),
        expected.ids.get(number).and_then(Option::as_ref),
    ) {
        (None, _) => problems.push("does not list itself".to_owned()),
        (Some(myself), Some(id)) if myself.id != *id => {
            problems.push(format!("is node {}, not {}", myself.id.short(), id.short()));
        }
        _ => {}
    }
    if !view.info.ok {
        problems.push("cluster_state is fail".to_owned());
    }
    if view.info.slots_assigned != u64::from(SLOT_COUNT) {
        problems.push(format!(
            "{} of {SLOT_COUNT} slots are assigned",
            view.info.slots_assigned
        ));
    }

    let known: BTreeSet<&NodeId> = view.nodes.iter().map(|node| &node.id).collect();
    let unknown: Vec<String> = (0..expected.names.len())
        .filter(
            |other| match expected.ids.get(*other).and_then(Option::as_ref) {
                Some(id) => !known.contains(id),
                None => false,
            },
        )
        .map(|other| name_of(expected, other))
        .collect();
    if !unknown.is_empty() {
        problems.push(format!("does not know {}", some(&unknown)));
    } else if view.nodes.len() != expected.names.len() {
        problems.push(format!(
            "knows {} nodes, not {}",
            view.nodes.len(),
            expected.names.len()
        ));
    }

    let listed = |test: &dyn Fn(&NodeLine) -> bool| -> Vec<String> {
        view.nodes
            .iter()
            .filter(|node| test(node))
            .map(|node| name(&node.id))
            .collect()
    };
    for (what, nodes) in [
        (
            "is shaking hands with",
            listed(&|node| node.flags.handshake),
        ),
        (
            "sees failing:",
            listed(&|node| node.flags.fail || node.flags.pfail),
        ),
        (
            "has no address of",
            listed(&|node| node.flags.noaddr && !node.flags.handshake),
        ),
        (
            "has no link to",
            listed(&|node| !node.connected && !node.flags.handshake),
        ),
    ] {
        if !nodes.is_empty() {
            problems.push(format!("{what} {}", some(&nodes)));
        }
    }

    if let Some(NodeLine {
        role: Role::Replica { of },
        ..
    }) = view.myself()
    {
        if !view.replication.replica || !view.replication.link_up {
            problems.push(format!("is not in sync with {}", name(of)));
        } else if view.replication.syncing {
            problems.push(format!("copies the data of {}", name(of)));
        }
    }
    problems.extend(unlisted(view, &name));
    problems
}

/// Which nodes `CLUSTER SLOTS` and `CLUSTER SHARDS` leave out: clients would not find them.
fn unlisted(view: &View, name: &dyn Fn(&NodeId) -> String) -> Vec<String> {
    let owners: BTreeSet<&NodeId> = view
        .nodes
        .iter()
        .filter(|node| !node.slots.is_empty())
        .map(|node| &node.id)
        .collect();
    let listed: BTreeSet<(&NodeId, &NodeId)> = view
        .slots
        .iter()
        .flat_map(|entry| {
            entry
                .replicas
                .iter()
                .chain([&entry.primary])
                .map(|id| (&entry.primary, id))
        })
        .collect();
    let mut problems = Vec::new();
    let absent: Vec<String> = view
        .nodes
        .iter()
        .filter(|node| match &node.role {
            Role::Replica { of } => owners.contains(of) && !listed.contains(&(of, &node.id)),
            Role::Primary => owners.contains(&node.id) && !listed.contains(&(&node.id, &node.id)),
        })
        .map(|node| name(&node.id))
        .collect();
    if !absent.is_empty() {
        problems.push(format!("does not list {} in CLUSTER SLOTS", some(&absent)));
    }
    if let Some(shards) = &view.shards {
        let online = |id: &NodeId| shards.iter().any(|node| node.online && node.id == *id);
        let offline: Vec<String> = view
            .nodes
            .iter()
            .filter(|node| !node.flags.handshake && !online(&node.id))
            .map(|node| name(&node.id))
            .collect();
        if !offline.is_empty() {
            problems.push(format!(
                "calls {} not online in CLUSTER SHARDS",
                some(&offline)
            ));
        }
    }
    problems
}

/// What all nodes must say alike of one: its role, its slots, its config epoch.
pub(super) type Said = (Role, Vec<SlotRange>, u64);

/// What a line says of its node.
pub(super) fn said(line: &NodeLine) -> Said {
    // A replica's own epoch means nothing: servers before 7.0.3 keep an old one.
    let epoch = if line.role == Role::Primary {
        line.config_epoch
    } else {
        0
    };
    (line.role.clone(), line.slots.clone(), epoch)
}

/// Finds where views that are whole disagree, and shapes that are not as asked.
fn compare(
    expected: &Expected,
    views: &[Result<View, String>],
    names: &HashMap<NodeId, String>,
    problems: &mut [Vec<String>],
) {
    let name = |id: &NodeId| {
        names
            .get(id)
            .cloned()
            .unwrap_or_else(|| id.short().to_owned())
    };
    let whole: Vec<(usize, &View)> = views
        .iter()
        .enumerate()
        .filter_map(|(number, view)| Some((number, view.as_ref().ok()?)))
        .collect();
    let Some(&(first, reference)) = whole.first() else {
        return;
    };
    let said = |view: &View| -> BTreeMap<NodeId, Said> {
        let nodes = view.nodes.iter();
        nodes.map(|node| (node.id.clone(), said(node))).collect()
    };
    let agreed = said(reference);
    let epoch = whole
        .iter()
        .map(|(_, view)| view.info.current_epoch)
        .max()
        .unwrap_or_default();
    for &(number, view) in &whole {
        let Some(messages) = problems.get_mut(number) else {
            continue;
        };
        if view.info.current_epoch != epoch {
            messages.push(format!(
                "is at epoch {}, others at {epoch}",
                view.info.current_epoch
            ));
        }
        if number != first && said(view) != agreed {
            let other: Vec<String> = said(view)
                .iter()
                .filter(|(id, said)| agreed.get(*id) != Some(said))
                .map(|(id, _)| name(id))
                .collect();
            messages.push(format!(
                "sees {} otherwise than {} does",
                some(&other),
                name_of(expected, first)
            ));
        }
    }

    let mut epochs: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut shards: BTreeMap<&NodeId, usize> = BTreeMap::new();
    for node in reference.nodes.iter().filter(|node| !node.slots.is_empty()) {
        epochs
            .entry(node.config_epoch)
            .or_default()
            .push(name(&node.id));
        shards.insert(&node.id, 0);
    }
    for node in &reference.nodes {
        if let Role::Replica { of } = &node.role
            && let Some(count) = shards.get_mut(of)
        {
            *count += 1;
        }
    }
    let Some(messages) = problems.get_mut(first) else {
        return;
    };
    for (epoch, nodes) in epochs.iter().filter(|(_, nodes)| nodes.len() > 1) {
        messages.push(format!("sees {} share config epoch {epoch}", some(nodes)));
    }
    if let Some((primaries, replicas)) = expected.shape {
        if shards.len() != primaries {
            messages.push(format!(
                "sees {} primaries with slots, not {primaries}",
                shards.len()
            ));
        } else if let Some((id, count)) = shards.iter().find(|(_, count)| **count != replicas) {
            messages.push(format!(
                "sees {count} replicas of {}, not {replicas}",
                name(id)
            ));
        }
    }
}

/// Up to four names, and how many more there are.
pub(super) fn some(names: &[String]) -> String {
    match names {
        [a, b, c, d, _, ..] => format!("{a}, {b}, {c}, {d} and {} more", names.len() - 4),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Info, parse_nodes};

    fn id(c: char) -> NodeId {
        c.to_string().repeat(40).parse().expect("hex digit")
    }

    /// A ready cluster of primaries a and b and b's replica c, as its node `me` sees it.
    fn view(me: char) -> View {
        let my = |c| if c == me { "myself," } else { "" };
        let text = format!(
            "{} 127.0.0.1:1@2 {}master - 0 0 1 connected 0-8191\n\
             {} 127.0.0.1:2@3 {}master - 0 0 2 connected 8192-16383\n\
             {} 127.0.0.1:3@4 {}slave {} 0 0 2 connected\n",
            id('a'),
            my('a'),
            id('b'),
            my('b'),
            id('c'),
            my('c'),
            id('b')
        );
        let info = "cluster_state:ok\ncluster_slots_assigned:16384\ncluster_slots_ok:16384\n\
                    cluster_known_nodes:3\ncluster_current_epoch:2\ncluster_my_epoch:1\n";
        let range = |first, last| SlotRange::new(first, last).expect("range");
        View {
            info: ClusterInfo::try_from(&Info::new(info.into())).expect("complete"),
            nodes: parse_nodes(&text).expect("valid"),
            replication: Replication {
                replica: me == 'c',
                link_up: me == 'c',
                syncing: false,
                offset: 1,
            },
            slots: vec![
                SlotsEntry {
                    slots: range(0, 8191),
                    primary: id('a'),
                    replicas: vec![],
                },
                SlotsEntry {
                    slots: range(8192, 16383),
                    primary: id('b'),
                    replicas: vec![id('c')],
                },
            ],
            shards: Some(
                "abc"
                    .chars()
                    .map(|c| ShardNode {
                        id: id(c),
                        online: true,
                        shard: 0,
                    })
                    .collect(),
            ),
        }
    }

    type Change = fn(&mut Vec<Result<View, String>>);

    fn check(change: impl FnOnce(&mut Vec<Result<View, String>>)) -> Vec<String> {
        let expected = Expected {
            names: vec!["A".into(), "B".into(), "C".into()],
            ids: "abc".chars().map(|c| Some(id(c))).collect(),
            shape: None,
        };
        let mut views: Vec<_> = "abc".chars().map(|c| Ok(view(c))).collect();
        change(&mut views);
        missing(&expected, &views)
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    fn of(views: &mut [Result<View, String>], number: usize) -> &mut View {
        views[number].as_mut().expect("a view")
    }

    #[test]
    fn a_ready_cluster_lacks_nothing() {
        assert_eq!(check(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn each_condition_of_the_contract_is_checked_on_each_node() {
        let cases: [(&str, Change); 17] = [
            ("C no answer", |v| v[2] = Err("no answer".into())),
            ("B cluster_state is fail", |v| of(v, 1).info.ok = false),
            ("B 16383 of 16384 slots", |v| {
                of(v, 1).info.slots_assigned = 16383;
            }),
            ("A does not know C", |v| drop(of(v, 0).nodes.pop())),
            ("B knows 4 nodes, not 3", |v| {
                let mut extra = of(v, 1).nodes[0].clone();
                extra.id = id('d');
                of(v, 1).nodes.push(extra);
            }),
            ("B is shaking hands with A", |v| {
                of(v, 1).nodes[0].flags.handshake = true;
            }),
            ("C sees failing: A", |v| {
                of(v, 2).nodes[0].flags.pfail = true;
            }),
            ("C sees failing: B", |v| of(v, 2).nodes[1].flags.fail = true),
            ("A has no link to C", |v| {
                of(v, 0).nodes[2].connected = false;
            }),
            ("C is not in sync with B", |v| {
                of(v, 2).replication.link_up = false;
            }),
            ("C is not in sync with B", |v| {
                of(v, 2).replication.replica = false;
            }),
            ("C copies the data of B", |v| {
                of(v, 2).replication.syncing = true;
            }),
            ("A does not list C in CLUSTER SLOTS", |v| {
                of(v, 0).slots[1].replicas.clear();
            }),
            ("A does not list A in CLUSTER SLOTS", |v| {
                drop(of(v, 0).slots.remove(0));
            }),
            ("B calls C not online", |v| {
                of(v, 1).shards.as_mut().expect("shards")[2].online = false;
            }),
            ("B is at epoch 1, others at 2", |v| {
                of(v, 1).info.current_epoch = 1;
            }),
            ("C sees C otherwise than A", |v| {
                of(v, 2).nodes[2].role = Role::Primary;
            }),
        ];
        for (wanted, change) in cases {
            let found = check(change);
            assert!(
                found.iter().any(|message| message.starts_with(wanted)),
                "{wanted}: {found:?}"
            );
        }
    }

    #[test]
    fn views_must_agree_on_owners_and_epochs() {
        let found = check(|v| of(v, 1).nodes[0].config_epoch = 7);
        assert_eq!(found, ["B sees A otherwise than A does"]);
        let found = check(|v| {
            for view in v.iter_mut() {
                view.as_mut().expect("view").nodes[0].config_epoch = 2;
            }
        });
        assert_eq!(found, ["A sees A, B share config epoch 2"]);
        let found = check(|v| of(v, 2).nodes[0].slots[0] = SlotRange::new(0, 8190).expect("range"));
        assert_eq!(found, ["C sees A otherwise than A does"]);
    }

    #[test]
    fn a_shape_is_counted_and_roles_may_have_changed() {
        let shape = |shape| {
            let expected = Expected {
                names: vec!["A".into(), "B".into(), "C".into()],
                ids: vec![None; 3],
                shape: Some(shape),
            };
            let views: Vec<_> = "abc".chars().map(|c| Ok(view(c))).collect();
            missing(&expected, &views).len()
        };
        assert_eq!(shape((3, 0)), 1);
        assert_eq!(shape((2, 1)), 1);
    }

    #[test]
    fn a_wrong_identity_is_named() {
        let found = check(|v| v.swap(0, 1));
        assert!(
            found[0].starts_with("A is node bbbbbbbb, not aaaaaaaa"),
            "{found:?}"
        );
    }
}
