//! What happened between two looks, in words.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::Past;
use super::scene::{Member, Scene};
use super::{Found, Seen};
use crate::cluster::{NodeId, Role, SLOT_COUNT, ranges_of};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When it was seen, from when the watch began.
    pub at: Duration,
    /// How it is to be taken.
    pub mood: Mood,
    /// What happened, in one line of ASCII but for what servers say.
    pub text: String,
}

/// How something is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    /// Something went well.
    Good,
    /// Neither.
    Plain,
    /// It needs a look.
    Warn,
    /// It is wrong.
    Bad,
}

/// What the process of a node went through between two looks. `was` is how the node was.
pub(super) fn of_process(
    name: &str,
    was: Option<&Past>,
    now: &Found,
    pid: Option<i32>,
    at: Duration,
) -> Option<(Mood, String)> {
    let pid_text = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    if matches!(now, Found::Starting | Found::Unreachable(_)) {
        return None;
    }
    let Some(was) = was else {
        // The first look: only what is wrong is news.
        return match now {
            Found::Answers(_) | Found::Gone | Found::Starting | Found::Unreachable(_) => None,
            Found::Dead { .. } => Some((Mood::Bad, format!("{name} does not run"))),
            Found::Elsewhere => {
                let text = format!("{name} was started on another machine or in another container");
                Some((Mood::Warn, text))
            }
            Found::Silent(why) | Found::Refuses(why) | Found::Foreign(why) => {
                Some((Mood::Bad, format!("{name} {why}")))
            }
        };
    };
    let lasted = at.saturating_sub(was.since).as_secs();
    let after = if lasted == 0 {
        String::new()
    } else {
        format!(" after {lasted} s")
    };
    let before = &was.found;
    let restarted = was.pid.zip(pid).filter(|(old, new)| old != new);
    match (before, now) {
        (_, Found::Gone) | (Found::Dead { .. }, Found::Dead { .. }) => None,
        (Found::Gone, Found::Dead { .. }) => Some((Mood::Bad, format!("{name} does not run"))),
        (_, Found::Dead { stopped: true }) => Some((Mood::Plain, format!("{name} was stopped"))),
        (_, Found::Dead { stopped: false }) => {
            let pid = was
                .pid
                .map(|pid| format!(" (pid {pid})"))
                .unwrap_or_default();
            Some((Mood::Bad, format!("{name} died{pid}")))
        }
        (Found::Dead { .. } | Found::Gone, Found::Answers(_)) => {
            Some((Mood::Good, format!("{name} came back{after}{pid_text}")))
        }
        (_, Found::Answers(_)) if restarted.is_some() => {
            let (old, new) = restarted?;
            Some((
                Mood::Warn,
                format!("{name} was restarted (pid {old} -> {new})"),
            ))
        }
        (Found::Answers(_), Found::Answers(_)) => None,
        (_, Found::Answers(_)) => Some((Mood::Good, format!("{name} answers again{after}"))),
        (Found::Silent(_), Found::Silent(_)) => None,
        (Found::Refuses(old), Found::Refuses(new)) if code(old) == code(new) => None,
        (Found::Foreign(old), Found::Foreign(new)) if old == new => None,
        (Found::Elsewhere, Found::Elsewhere) => None,
        (_, Found::Silent(why) | Found::Foreign(why)) => Some((Mood::Bad, format!("{name} {why}"))),
        (_, Found::Refuses(why)) => Some((Mood::Warn, format!("{name} answers: {why}"))),
        (_, Found::Elsewhere) => Some((Mood::Warn, format!("{name} cannot be seen from here"))),
        (_, Found::Starting | Found::Unreachable(_)) => None,
    }
}

/// The first word of a server's error: `LOADING`.
pub(super) fn code(message: &str) -> &str {
    message.split(' ').next().unwrap_or_default()
}

/// What a replica's link went through.
pub(super) fn of_link(name: &str, primary: &str, was: &Seen, now: &Seen) -> Option<(Mood, String)> {
    let (was, now) = (was.replication, now.replication);
    if !was.replica || !now.replica {
        return None;
    }
    if !was.syncing && now.syncing {
        return Some((Mood::Warn, format!("{name} takes a full copy of {primary}")));
    }
    match (was.link_up, now.link_up) {
        (true, false) => Some((Mood::Warn, format!("link down: {name} has lost {primary}"))),
        (false, true) => Some((Mood::Good, format!("link up: {name} follows {primary}"))),
        _ => None,
    }
}

/// What roles and slots went through.
pub(super) fn of_scene(was: &Scene, now: &Scene) -> Vec<(Mood, String)> {
    let mut events = Vec::new();
    // Those who took over first: the others' roles follow from it.
    let (first, then): (Vec<&Member>, Vec<&Member>) =
        (now.members.iter()).partition(|member| member.role == Role::Primary);
    for member in first.into_iter().chain(then) {
        match was.member(&member.id) {
            Some(old) => of_member(was, now, old, member, &mut events),
            None if member.number.is_none() => {
                events.push((Mood::Plain, format!("{} joined the cluster", member.name)));
            }
            None => {}
        }
    }
    for old in &was.members {
        if old.number.is_none() && now.member(&old.id).is_none() {
            events.push((Mood::Plain, format!("{} left the cluster", old.name)));
        }
    }
    of_moves(was, now, &mut events);
    of_slots(was, now, &mut events);
    events
}

/// Slots that begin to move. Where one node gives many to another, one after the other, only the
/// first is news.
fn of_moves(was: &Scene, now: &Scene, events: &mut Vec<(Mood, String)>) {
    let before = was.moves();
    for ((from, to), slots) in now.moves() {
        if before.contains_key(&(from, to)) {
            continue;
        }
        let called = |id: &NodeId| {
            let member = now.member(id);
            member.map_or_else(|| id.short().to_owned(), |member| member.name.clone())
        };
        let slots: Vec<u16> = slots.into_iter().collect();
        let what = slots_in_words(&slots);
        let (verb, way) = if slots.len() == 1 {
            ("is", "its")
        } else {
            ("are", "their")
        };
        let (from, to) = (called(from), called(to));
        let text = format!("{what} {verb} on {way} way from {from} to {to}");
        events.push((Mood::Plain, text));
    }
}

fn of_member(
    was: &Scene,
    now: &Scene,
    old: &Member,
    new: &Member,
    events: &mut Vec<(Mood, String)>,
) {
    let name = &new.name;
    let called = |id: &NodeId| {
        let member = now.member(id).or_else(|| was.member(id));
        member.map_or_else(|| id.short().to_owned(), |member| member.name.clone())
    };
    match (&old.role, &new.role) {
        (Role::Replica { of }, Role::Primary) if !new.slots.is_empty() => {
            let text = format!("failover! {name} is primary now, after {}", called(of));
            events.push((Mood::Warn, text));
        }
        (Role::Replica { .. }, Role::Primary) => {
            events.push((Mood::Warn, format!("{name} is a primary without slots now")));
        }
        (Role::Primary, Role::Replica { of }) => {
            let text = format!("{name} is a replica of {} now", called(of));
            events.push((Mood::Plain, text));
        }
        (Role::Replica { of: a }, Role::Replica { of: b }) if a != b => {
            let text = format!(
                "{name} is a replica of {} now, no longer of {}",
                called(b),
                called(a)
            );
            events.push((Mood::Plain, text));
        }
        _ => {}
    }
    if !old.failed && new.failed {
        events.push((Mood::Bad, format!("the cluster calls {name} failed")));
    } else if old.failed && !new.failed {
        events.push((
            Mood::Good,
            format!("the cluster no longer calls {name} failed"),
        ));
    }
}

fn of_slots(was: &Scene, now: &Scene, events: &mut Vec<(Mood, String)>) {
    if was.owns_as(now) {
        return;
    }
    let mut moved: BTreeMap<(Option<&NodeId>, Option<&NodeId>), Vec<u16>> = BTreeMap::new();
    for slot in 0..SLOT_COUNT {
        let (a, b) = (was.owner(slot), now.owner(slot));
        let (a, b) = (a.map(|member| &member.id), b.map(|member| &member.id));
        if a != b {
            moved.entry((a, b)).or_default().push(slot);
        }
    }
    for ((from, to), slots) in moved {
        // A failover is told of already.
        let inherits = to
            .and_then(|to| was.member(to))
            .is_some_and(|heir| matches!(&heir.role, Role::Replica { of } if Some(of) == from));
        if inherits {
            continue;
        }
        let called = |id: &NodeId| {
            let member = now.member(id).or_else(|| was.member(id));
            member.map_or_else(|| id.short().to_owned(), |member| member.name.clone())
        };
        let count = slots.len();
        let what = slots_in_words(&slots);
        let verb = |one: &'static str, many| if count == 1 { one } else { many };
        events.push(match (from, to) {
            (Some(from), Some(to)) => {
                let text = format!("{what} moved from {} to {}", called(from), called(to));
                (Mood::Plain, text)
            }
            (None, Some(to)) => {
                let text = format!("{what} {} given to {}", verb("was", "were"), called(to));
                (Mood::Good, text)
            }
            (Some(from), None) => {
                let text = format!(
                    "{what} of {} {} no owner now",
                    called(from),
                    verb("has", "have")
                );
                (Mood::Bad, text)
            }
            (None, None) => continue,
        });
    }
}

/// `slot 7`, `slots 0-100 200-300 (202)`, `slots 1 3 5 ... (60)`.
fn slots_in_words(slots: &[u16]) -> String {
    const SHOWN: usize = 3;
    let ranges = ranges_of(slots.iter().copied());
    let shown: Vec<String> = ranges.iter().take(SHOWN).map(ToString::to_string).collect();
    let shown = shown.join(" ");
    match (slots.len(), ranges.len()) {
        (1, _) => format!("slot {shown}"),
        (count, ranges) if ranges > SHOWN => format!("slots {shown} ... ({count})"),
        (count, _) => format!("slots {shown} ({count})"),
    }
}
