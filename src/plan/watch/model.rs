//! What is remembered of a cluster that is watched.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::agreement::{Lack, Sentences, lacks};
use super::events::{Happening, Mood, of_link, of_process, of_scene};
use super::picture::{Picture, Standing};
use super::scene::{Member, Scene};
use super::{COMMANDS_A_LOOK, Found, Load, Look, Watched};
use crate::cluster::{NodeId, NodeLine, Role, SLOT_COUNT, counted};

/// How many events are kept.
const EVENTS: usize = 1000;

/// How old a process may be that does not listen yet, before that is wrong.
const YOUTH: Duration = Duration::from_secs(5);

/// How long nodes that were all started anew may take to be a cluster again: a primary refuses
/// writes for its first 2 s, and its replicas need a second more.
const RISE: Duration = Duration::from_secs(10);

/// What is remembered of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Watching {
    pub(super) id: Option<NodeId>,
    pub(super) pid: Option<i32>,
    /// The last look.
    pub(super) found: Option<Found>,
    /// How it was last, but for being young: what news are measured by.
    pub(super) past: Option<Past>,
    /// When its process was first seen, if it has not answered yet.
    young: Option<(i32, Duration)>,
    /// What it lacks of others, and in how many looks on end.
    pub(super) lacks: Vec<(Lack, usize)>,
    /// It was looked at since what it lacks was worked out.
    fresh: bool,
    /// What it said of itself last.
    pub(super) last_line: Option<NodeLine>,
    /// Its commands a second.
    pub(super) ops: Option<u64>,
    /// Its replication offsets in the last rounds, the newest first.
    pub(super) offsets: VecDeque<(u64, u64)>,
    /// When it was last counted, and what was.
    counted: Option<(Duration, Load)>,
}

/// How a node was when something was last told of it.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) found: Found,
    /// Since when: it answers, is silent, is dead …
    pub(super) since: Duration,
    pub(super) pid: Option<i32>,
}

/// A cluster that is watched.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub(super) watched: Watched,
    pub(super) names: Vec<String>,
    pub(super) nodes: Vec<Watching>,
    pub(super) scene: Scene,
    /// What changes are measured by.
    told: Scene,
    /// Whether changes were held back at last.
    held: bool,
    was_complete: bool,
    /// It is being formed: until it is ready for the first time, roles and slots that change hands
    /// are the way there, and no news.
    pub(super) forming: bool,
    /// When its nodes were started, if it is not well again since then.
    pub(super) rising: Option<Duration>,
    /// When looks were last taken in.
    now: Duration,
    /// Who took over from whom: where a dead node without slots belongs.
    pub(super) heirs: HashMap<NodeId, NodeId>,
    pub(super) gone: Option<String>,
    standing: Option<Standing>,
    events: VecDeque<Happening>,
    happened: usize,
}

impl Model {
    /// A model of `watched`, of which nothing has been seen yet.
    pub fn new(watched: Watched) -> Self {
        let mut model = Self::default();
        model.open(watched, Duration::ZERO);
        model
    }

    /// The cluster is there, or it is there again, perhaps with other nodes.
    pub fn open(&mut self, watched: Watched, at: Duration) {
        let same = self.is(&watched);
        if self.gone.take().is_some() {
            self.note(at, Mood::Good, "the cluster is there again".into());
        }
        if !same {
            if !self.nodes.is_empty() {
                let count = counted(watched.nodes.len(), "node", "nodes");
                let text = format!("the cluster was made anew, with {count}");
                self.note(at, Mood::Plain, text);
            }
            self.nodes = vec![Watching::default(); watched.nodes.len()];
            (self.scene, self.told) = (Scene::default(), Scene::default());
            (self.held, self.was_complete) = (false, false);
            self.heirs.clear();
            self.standing = None;
            self.forming = !watched.formed;
            self.rising = None;
        }
        for (node, known) in self.nodes.iter_mut().zip(&watched.nodes) {
            node.id = node.id.take().or_else(|| known.id.clone());
        }
        let mut hosts = watched.nodes.iter().map(|node| node.addr.host);
        let first = hosts.next();
        // Where all nodes share an address the port is name enough.
        let one_host = hosts.all(|host| Some(host) == first);
        let name = |addr: crate::cluster::NodeAddr| {
            if one_host {
                addr.port.to_string()
            } else {
                addr.to_string()
            }
        };
        self.names = watched.nodes.iter().map(|node| name(node.addr)).collect();
        self.watched = watched;
    }

    /// Whether `other` is the cluster that is watched: its nodes have the same addresses, and no id
    /// that is known is another one.
    fn is(&self, other: &Watched) -> bool {
        let (was, now) = (&self.watched.nodes, &other.nodes);
        let mut pairs = was.iter().zip(now).zip(&self.nodes);
        was.len() == now.len()
            && pairs.all(|((old, new), node)| {
                let known = node.id.as_ref().or(old.id.as_ref());
                let differs = known.zip(new.id.as_ref()).is_some_and(|(a, b)| a != b);
                // What was written down once is forgotten by nobody.
                let forgotten = old.id.is_some() && new.id.is_none();
                old.addr == new.addr && !differs && !forgotten
            })
    }

    /// The cluster is not there any more: why, in one line.
    pub fn lose(&mut self, why: &str, at: Duration) {
        if self.gone.as_deref() != Some(why) {
            self.note(at, Mood::Bad, why.to_owned());
            self.gone = Some(why.to_owned());
        }
        for node in &mut self.nodes {
            node.take(Look {
                at,
                round: None,
                pid: None,
                found: Found::Gone,
            });
        }
    }

    /// Takes in a look at node `number`; [`settle`](Self::settle) comes after those that belong
    /// together.
    pub fn take(&mut self, number: usize, mut look: Look) {
        let Some(name) = self.names.get(number).cloned() else {
            return;
        };
        let Some(was) = self.nodes.get(number).cloned() else {
            return;
        };
        if let Found::Unreachable(why) = look.found {
            // Who has answered once has listened.
            let began = was.young.filter(|(pid, _)| Some(*pid) == look.pid);
            let is_young = was.past.as_ref().is_none_or(|past| past.pid != look.pid)
                && began.is_none_or(|(_, began)| look.at < began + YOUTH);
            look.found = if is_young {
                Found::Starting
            } else {
                Found::Silent(why)
            };
        }
        let mut events = Vec::new();
        events.extend(of_process(
            &name,
            was.past.as_ref(),
            &look.found,
            look.pid,
            look.at,
        ));
        if let (Some(before), Found::Answers(now)) = (was.seen(), &look.found) {
            let primary = match now.myself().map(|line| &line.role) {
                Some(Role::Replica { of }) => self.called(of),
                _ => "its primary".to_owned(),
            };
            events.extend(of_link(&name, &primary, before, now));
        }
        let at = look.at;
        if let Some(node) = self.nodes.get_mut(number) {
            node.take(look);
        }

        for (mood, text) in events {
            self.note(at, mood, text);
        }
    }

    /// Looks that belong together were all taken in: what follows from them?
    pub fn settle(&mut self, at: Duration) {
        self.now = at;
        let scene = Scene::of(&self.nodes, &self.names);
        let is_complete = self.is_complete();
        // Before every node was looked at once, what is new is not news.
        if self.was_complete && !self.forming {
            // Where slots change hands, the one may have been looked at before and the other after
            // it: that nobody owns them is news only if it is so the next time too.
            let gap = |slot: u16| scene.owner(slot).is_none() && self.told.owner(slot).is_some();
            let same = scene.owns_as(&self.told);
            let hold = !self.held && !same && (0..SLOT_COUNT).any(gap);
            if !hold {
                for (mood, text) in of_scene(&self.told, &scene) {
                    self.note(at, mood, text);
                }
                self.told = scene.clone();
            }
            self.held = hold;
        } else {
            self.told = scene.clone();
        }
        self.was_complete = is_complete;
        if !self.forming {
            self.remember_heirs(&scene);
        }
        self.scene = scene;
        self.compare(at);
        if is_complete && !self.held {
            self.stand(at);
        }
    }

    /// What do nodes that were looked at anew lack of others?
    fn compare(&mut self, at: Duration) {
        let mut lacking = Sentences::default();
        let mut over = Sentences::default();
        for number in 0..self.nodes.len() {
            let fresh = self.nodes.get_mut(number);
            if !fresh.is_some_and(|node| std::mem::take(&mut node.fresh)) {
                continue;
            }
            let now = lacks(number, &self.nodes);
            let Some(node) = self.nodes.get_mut(number) else {
                continue;
            };
            let was = std::mem::take(&mut node.lacks);
            let looks = |lack: &Lack| {
                let known = was.iter().find(|(known, _)| known == lack);
                1 + known.map_or(0, |(_, looks)| *looks)
            };
            node.lacks = now
                .into_iter()
                .map(|lack| (looks(&lack), lack))
                .map(|(n, lack)| (lack, n))
                .collect();
            if node.seen().is_none() || self.forming {
                continue;
            }
            let node = &self.nodes[number];
            let name = self.name(number);
            // A link that is just being made anew is not worth a word.
            let told = |(lack, looks): &&(Lack, usize)| lack.is_told() && *looks >= 2;
            let new = node
                .lacks
                .iter()
                .filter(told)
                .filter(|(_, looks)| *looks == 2);
            let new: Vec<&Lack> = new.map(|(lack, _)| lack).collect();
            lacking.lacks(name, &new, &|id| self.called(id));
            let still: Vec<&Lack> = node.lacks.iter().map(|(lack, _)| lack).collect();
            let gone = was
                .iter()
                .filter(told)
                .filter(|(lack, _)| !still.contains(&lack));
            let gone: Vec<&Lack> = gone.map(|(lack, _)| lack).collect();
            over.over(name, &gone, &still);
        }
        for (mood, sentences) in [(Mood::Warn, lacking), (Mood::Good, over)] {
            for text in sentences.texts() {
                self.note(at, mood, text);
            }
        }
    }

    /// How is the cluster, and is that news?
    fn stand(&mut self, at: Duration) {
        let is_down = matches!(self.standing, Some(Standing::Stopped | Standing::Gone));
        if is_down && self.nodes.iter().any(|node| node.pid.is_some()) {
            self.rising = Some(at);
        }
        let mut standing = self.standing_now();
        if standing == Standing::Ok {
            self.rising = None;
        }
        if self.forming && self.is_formed() {
            self.forming = false;
            standing = self.standing_now();
            self.heirs.clear();
            for node in &mut self.nodes {
                node.lacks.clear();
            }
            let replicas = |member: &&Member| matches!(member.role, Role::Replica { .. });
            let count = self.scene.members.iter().filter(replicas).count();
            let primaries = self.scene.members.len() - count;
            let primaries = counted(primaries, "primary", "primaries");
            let replicas = counted(count, "replica", "replicas");
            let text = format!("cluster formed: {primaries}, {replicas}");
            self.note(at, Mood::Good, text);
        } else if let Some(old) = self.standing
            && old.word() != standing.word()
            && standing != Standing::Gone
            && !self.forming
        {
            let text = format!(
                "cluster {} -> {}{}",
                old.word(),
                standing.word(),
                standing.more()
            );
            self.note(at, self.mood_of(standing), text);
        }
        self.standing = Some(standing);
    }

    /// How a standing is to be taken as news: what rcluster was told to stop is nothing to be
    /// alarmed of.
    fn mood_of(&self, standing: Standing) -> Mood {
        let mut dead = self.nodes.iter().filter_map(|node| match node.found {
            Some(Found::Dead { stopped }) => Some(stopped),
            _ => None,
        });
        let wanted = dead.next() == Some(true) && dead.all(|stopped| stopped);
        match standing {
            Standing::Stopped if wanted => Mood::Plain,
            Standing::Stopped => Mood::Bad,
            Standing::Fail(..) | Standing::Silent if wanted => Mood::Warn,
            _ => standing.mood(),
        }
    }

    /// Whether its nodes were started a moment ago.
    pub(super) fn is_rising(&self) -> bool {
        self.rising.is_some_and(|began| self.now < began + RISE)
    }

    /// Adds an event.
    pub fn note(&mut self, at: Duration, mood: Mood, text: String) {
        self.happened += 1;
        self.events.push_back(Happening { at, mood, text });
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    /// What happened, the oldest first; only the last thousand are kept.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Happening> {
        self.events.iter()
    }

    /// How much has happened at all.
    pub fn happened(&self) -> usize {
        self.happened
    }

    /// How node `number` (from 0) is called.
    pub fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    /// What is to be shown.
    pub fn picture(&self) -> Picture {
        Picture::of(self)
    }

    #[cfg(test)]
    pub(crate) fn watched_mut(&mut self) -> &mut Watched {
        &mut self.watched
    }

    /// Whether every node was looked at.
    pub(super) fn is_complete(&self) -> bool {
        self.nodes.iter().all(|node| node.found.is_some())
    }

    pub(super) fn called(&self, id: &NodeId) -> String {
        let member = self.scene.member(id);
        member.map_or_else(|| id.short().to_owned(), |member| member.name.clone())
    }

    fn remember_heirs(&mut self, now: &Scene) {
        for new in &now.members {
            let old = self.scene.member(&new.id).map(|old| &old.role);
            if let (Some(Role::Replica { of }), Role::Primary) = (old, &new.role)
                && !new.slots.is_empty()
            {
                self.heirs.remove(&new.id);
                self.heirs.insert(of.clone(), new.id.clone());
            }
        }
    }

    /// The primary in whose shard `member` is shown.
    pub(super) fn head<'a>(&'a self, member: &'a Member) -> &'a NodeId {
        let mut head = match &member.role {
            Role::Replica { of } => of,
            Role::Primary => &member.id,
        };
        // A few steps: two nodes that took over from each other must not lead us in a circle.
        for _ in 0..16 {
            let known = self.scene.member(head);
            let is_head = known.is_some_and(|known| known.answers || !known.slots.is_empty());
            match self.heirs.get(head) {
                Some(heir) if !is_head => head = heir,
                _ => break,
            }
        }
        head
    }
}

impl Watching {
    fn take(&mut self, look: Look) {
        let kind = |found: &Found| std::mem::discriminant(found);
        if look.found == Found::Starting {
            if self.young.map(|(pid, _)| pid) != look.pid {
                self.young = look.pid.map(|pid| (pid, look.at));
            }
        } else {
            let since = match &self.past {
                Some(past) if kind(&past.found) == kind(&look.found) => past.since,
                _ => look.at,
            };
            self.past = Some(Past {
                found: look.found.clone(),
                since,
                pid: look.pid,
            });
            self.young = None;
        }
        self.fresh = true;
        if let Found::Answers(seen) = &look.found {
            if let Some(line) = seen.myself() {
                self.id = Some(line.id.clone());
                self.last_line = Some(line.clone());
            }
            let same = self.pid == look.pid;
            let before = self.counted.filter(|_| same);
            self.ops = Some(rate(before, (look.at, seen.load)));
            self.counted = Some((look.at, seen.load));
            if !same {
                self.offsets.clear();
            }
            if let Some(round) = look.round {
                self.offsets.push_front((round, seen.replication.offset));
                self.offsets.truncate(3);
            }
        } else {
            self.ops = None;
            self.counted = None;
            self.offsets.clear();
        }
        self.pid = look.pid;
        self.found = Some(look.found);
    }
}

/// Commands a second since the last look, without those that looking costs; at first, or after the
/// server's numbers were reset, what the server says itself.
fn rate(before: Option<(Duration, Load)>, (at, now): (Duration, Load)) -> u64 {
    let counted = before.and_then(|(then, was)| {
        let commands = now.commands.checked_sub(was.commands)?;
        let millis = u64::try_from(at.checked_sub(then)?.as_millis()).ok()?;
        let own = commands.saturating_sub(COMMANDS_A_LOOK);
        // Rounded to the nearest.
        own.saturating_mul(1000)
            .saturating_add(millis / 2)
            .checked_div(millis)
    });
    counted.unwrap_or(now.ops)
}

/// How many bytes a replica is behind its primary: by the last round in which both answered, since
/// offsets of different moments say nothing.
pub(super) fn lag(primary: &Watching, replica: &Watching) -> Option<u64> {
    replica.offsets.iter().find_map(|(round, behind)| {
        let ahead = primary.offsets.iter().find(|(other, _)| other == round);
        ahead.map(|(_, ahead)| ahead.saturating_sub(*behind))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(commands: u64) -> Load {
        Load {
            commands,
            ops: 77,
            ..Load::default()
        }
    }

    #[test]
    fn a_rate_is_what_was_done_between_two_looks_without_the_looks() {
        let second = Duration::from_secs(1);
        let of = |was, now, after| rate(Some((second, load(was))), (second + after, load(now)));
        assert_eq!(of(100, 103, second), 0, "only ours");
        assert_eq!(of(100, 203, second), 100);
        assert_eq!(of(100, 203, 2 * second), 50);
        assert_eq!(of(100, 203, second / 2), 200);
        assert_eq!(of(100, 101, second), 0);
        assert_eq!(of(100, 50, second), 77, "CONFIG RESETSTAT");
        assert_eq!(of(100, 200, Duration::ZERO), 77);
        assert_eq!(rate(None, (second, load(5))), 77);
    }

    proptest! {
        #[test]
        fn no_numbers_of_a_server_break_a_rate(was: u64, now: u64, then: u32, at: u32) {
            let [then, at] = [then, at].map(|ms| Duration::from_millis(ms.into()));
            let rate = rate(Some((then, load(was))), (at, load(now)));
            if at > then && now >= was && now - was < 1 << 40 {
                prop_assert!(rate <= (now - was).saturating_mul(1000));
            }
        }

        #[test]
        fn lag_compares_offsets_of_one_round(
            primary in prop::collection::vec((0u64..6, any::<u64>()), 0..3),
            replica in prop::collection::vec((0u64..6, any::<u64>()), 0..3),
        ) {
            let node = |offsets: &[(u64, u64)]| Watching { offsets: offsets.iter().copied().collect(), ..Watching::default() };
            let common = replica.iter().any(|(round, _)| primary.iter().any(|(other, _)| other == round));
            let lag = lag(&node(&primary), &node(&replica));
            prop_assert_eq!(lag.is_some(), common);
        }
    }
}
