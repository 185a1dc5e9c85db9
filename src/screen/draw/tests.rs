use std::time::Duration;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::plan::watch::Found;
use crate::plan::watch::fixture::{Fake, range};
use crate::screen::view::Look;
use crate::screen::{Action, Clock, Key};

const ASCII: Look = Look {
    color: false,
    ascii: true,
};
const PLAIN: Look = Look {
    color: false,
    ascii: false,
};

fn view(look: Look) -> View {
    // Just before midnight, which comes during the watch.
    View::new(
        look,
        Clock {
            began: 86_398,
            utc: false,
        },
    )
}

/// What is on a terminal of that size, without blanks at the ends of lines.
fn drawn(view: &mut View, fake: &Fake, width: u16, height: u16) -> Vec<String> {
    let (lines, colors) = drawn_with_colors(view, fake, width, height);
    assert!(view.look.color || !colors, "a colour where none was wanted");
    lines
}

fn drawn_with_colors(view: &mut View, fake: &Fake, width: u16, height: u16) -> (Vec<String>, bool) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    view.now = Duration::from_secs(fake.round);
    let picture = view.prepare(&fake.model);
    terminal
        .draw(|frame| draw(frame.buffer_mut(), view, &picture))
        .expect("drawn");
    let buffer = terminal.backend().buffer();
    let cells = buffer.content();
    let colors = cells
        .iter()
        .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
    let lines = cells.chunks(usize::from(width.max(1))).map(|line| {
        let text: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.trim_end().to_owned()
    });
    (lines.collect(), colors)
}

fn story() -> Fake {
    let mut fake = Fake::seen(3);
    fake.nodes[0].commands = 1503;
    fake.nodes[0].offset = 123_456_789;
    fake.nodes[3].offset = 123_450_000;
    fake.nodes[1].instead = Some(Found::Dead { stopped: false });
    fake.nodes[5].instead = Some(Found::Silent("is stopped (SIGSTOP)".into()));
    fake.look();
    fake
}

#[test]
fn eighty_by_twenty_four() {
    let lines = drawn(&mut view(PLAIN), &story(), 80, 24);
    let wanted = [
        "default: degraded  4/6 nodes  10923/16384 slots  1.5k ops/s             00:00:00",
        "   node role    state    link    lag     offset  ops/s memory clients epoch",
        " 1 █████████████████▒···································  5461 slots",
        " > 7001 primary ok       -         -  123456789   1.5k   1.9M       3     1",
        "   7004 replica ok       up     6.6K  123450000      0   1.9M       3     1",
        " 2 ·················×××××××××××××××××××·················  5461 slots, no primary",
        "   7002 primary dead     does not run",
        "   7005 replica ok       up        -       1000      0   1.9M       3     2",
        " 3 ···································▒█████████████████  5462 slots",
        "   7003 primary ok       -         -       1000      0   1.9M       3     3",
        "   7006 replica hung     is stopped (SIGSTOP)",
        "─ events ───────────────────────────────────────────────────────────────────────",
        "00:00:00 ! 7002 died (pid 101)",
        "00:00:00 ! 7006 is stopped (SIGSTOP)",
        "00:00:00 * cluster ok -> degraded",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        " q quit  jk choose  l log  space freeze  n next problem  ? help",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn forty_by_ten_in_ascii() {
    let lines = drawn(&mut view(ASCII), &story(), 40, 10);
    let wanted = [
        "default: degraded  4/6 nodes    00:00:00",
        " 1 ########+................  5461 slots",
        " > 7001 P ok       -         -   1.5k",
        "   7004 R ok       up     6.6K      0",
        " 2 ........xxxxxxxxx........  5461 slots",
        "   7002 P dead     does not run",
        "- events --- 1-5 of 9, 1 problem below -",
        "00:00:00 ! 7006 is stopped (SIGSTOP)",
        "00:00:00 * cluster ok -> degraded",
        " q quit  jk choose  l log  space freeze",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn what_has_no_owner_moves_or_goes_away_is_seen() {
    let mut fake = Fake::seen(2);
    fake.nodes[1].slots = vec![range(12_288, 16_383)];
    fake.look();
    let lines = drawn(&mut view(ASCII), &fake, 80, 24);
    assert!(
        lines[2].starts_with(" ! .") && lines[2].contains("!!!!!"),
        "{lines:?}"
    );
    assert!(lines[2].ends_with(" 4096 slots, no owner"), "{lines:?}");
    fake.model
        .lose("the cluster was deleted", Duration::from_secs(3));
    fake.model.settle(Duration::from_secs(3));
    let lines = drawn(&mut view(ASCII), &fake, 80, 24);
    assert!(
        lines[0].starts_with("default: gone  0/4 nodes  0/16384 slots"),
        "{lines:?}"
    );
    assert_eq!(lines[2], "! the cluster was deleted; looking for it");
}

#[test]
fn keys_choose_freeze_and_open_panes() {
    let mut fake = story();
    let mut view = view(PLAIN);
    drawn(&mut view, &fake, 80, 24);
    assert_eq!(view.chosen(), Some(0));
    for (key, chosen) in [
        (Key::Up, 0),
        (Key::Down, 3),
        (Key::Char('j'), 1),
        (Key::End, 5),
        (Key::Down, 5),
        (Key::Char('k'), 2),
        (Key::Home, 0),
    ] {
        assert_eq!(view.press(key, &fake.model), Action::None);
        assert_eq!(view.chosen(), Some(chosen), "{key:?}");
    }
    // A frozen screen stays, whatever happens, and says so.
    let before = drawn(&mut view, &fake, 80, 24);
    view.press(Key::Char(' '), &fake.model);
    fake.nodes[2].instead = Some(Found::Dead { stopped: false });
    fake.look();
    let frozen = drawn(&mut view, &fake, 80, 24);
    assert!(frozen[0].contains("FROZEN  00:00:00"), "{frozen:?}");
    assert_eq!(frozen[1..11], before[1..11]);
    assert!(
        frozen[11].contains("1 more since it is frozen"),
        "{frozen:?}"
    );
    view.press(Key::Char(' '), &fake.model);
    let lines = drawn(&mut view, &fake, 80, 24);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("7003 died (pid 102)")),
        "{lines:?}"
    );

    view.press(Key::Char('?'), &fake.model);
    let lines = drawn(&mut view, &fake, 80, 24);
    assert!(
        lines[1].contains("help") && lines.iter().any(|line| line.contains("lag ")),
        "{lines:?}"
    );
    assert_eq!(view.press(Key::Escape, &fake.model), Action::None);
    view.press(Key::Down, &fake.model);
    view.press(Key::Char('l'), &fake.model);
    view.pane = Pane::Log(Ok(vec!["first".into(), "x".repeat(100), "last".into()]));
    let lines = drawn(&mut view, &fake, 80, 8);
    assert!(lines[1].contains("log of 7004, replica"), "{lines:?}");
    assert!(
        lines[2].contains("pid 103") && lines[2].contains("id 04040404"),
        "{lines:?}"
    );
    assert_eq!(
        lines[3..7],
        [
            "first".to_owned(),
            "x".repeat(80),
            "x".repeat(20),
            "last".to_owned()
        ]
    );
    view.pane = Pane::Log(Err("No such file".into()));
    assert!(drawn(&mut view, &fake, 80, 8)[3].contains("cannot be read: No such file"));
    assert_eq!(view.press(Key::Escape, &fake.model), Action::None);
    assert_eq!(view.press(Key::Escape, &fake.model), Action::Quit);
    assert_eq!(view.press(Key::Char('q'), &fake.model), Action::Quit);
    assert_eq!(view.press(Key::Interrupt, &fake.model), Action::Interrupt);
}

#[test]
fn colours_are_there_when_they_are_wanted() {
    let color = Look {
        color: true,
        ascii: false,
    };
    let (lines, colors) = drawn_with_colors(&mut view(color), &story(), 80, 24);
    assert!(colors);
    assert_eq!(
        lines,
        drawn(&mut view(PLAIN), &story(), 80, 24),
        "and say nothing else"
    );
}

#[test]
fn the_chosen_node_is_in_sight_of_many() {
    let fake = Fake::seen(20);
    let mut view = view(ASCII);
    drawn(&mut view, &fake, 80, 24);
    for key in [Key::End, Key::Up, Key::Up, Key::Home] {
        view.press(key, &fake.model);
        let lines = drawn(&mut view, &fake, 80, 24);
        assert_eq!(
            lines.iter().filter(|line| line.starts_with(" > ")).count(),
            1,
            "{lines:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_size_and_no_keys_are_too_much(
        sizes in prop::collection::vec((0u16..200, 0u16..60), 1..6),
        keys in prop::collection::vec(0usize..12, 0..12),
        ascii: bool,
    ) {
        let all = [
            Key::Up, Key::Down, Key::Home, Key::End, Key::PageUp, Key::PageDown, Key::Enter, Key::Escape,
            Key::Char(' '), Key::Char('?'), Key::Char('l'), Key::Char('x'),
        ];
        let fake = story();
        let mut view = view(Look { color: false, ascii });
        for (width, height) in sizes {
            for key in &keys {
                view.press(all[*key], &fake.model);
                if matches!(view.pane, Pane::Log(_)) {
                    view.pane = Pane::Log(Ok(vec!["ä wide 漢字 line".repeat(9); 30]));
                }
                let lines = drawn(&mut view, &fake, width, height);
                if ascii {
                    prop_assert!(lines.iter().all(|line| line.is_ascii()), "{:?}", lines);
                }
            }
        }
    }
}

#[test]
fn problems_that_are_out_of_sight_are_counted_and_found() {
    let mut fake = Fake::seen(12);
    fake.nodes[11].instead = Some(Found::Dead { stopped: false });
    fake.nodes[22].instead = Some(Found::Dead { stopped: false });
    fake.look();
    let mut view = view(PLAIN);
    let lines = drawn(&mut view, &fake, 80, 24);
    assert!(
        lines
            .iter()
            .any(|line| line.contains(" of 36, 2 problems below ")),
        "{lines:?}"
    );
    view.press(Key::Char('n'), &fake.model);
    assert_eq!(view.chosen(), Some(22));
    view.press(Key::Char('n'), &fake.model);
    assert_eq!(view.chosen(), Some(11));
    drawn(&mut view, &fake, 80, 24);
    view.press(Key::Char('n'), &fake.model);
    assert_eq!(view.chosen(), Some(22), "and from the start again");
}

#[test]
fn rows_have_the_room_that_events_do_not_need() {
    let fake = Fake::seen(12);
    let lines = drawn(&mut view(PLAIN), &fake, 200, 50);
    assert!(
        !lines.iter().any(|line| line.contains(" of 36")),
        "{lines:?}"
    );
}

#[test]
fn what_is_cut_says_so_and_a_long_name_leaves_the_state() {
    let mut fake = story();
    let name = "a-name-of-forty-characters-as-long-as-it";
    fake.model.watched_mut().name = name.into();
    for (look, end) in [(PLAIN, "…: degraded"), (ASCII, "~: degraded")] {
        let lines = drawn(&mut view(look), &fake, 40, 10);
        assert!(lines[0].ends_with(end), "{lines:?}");
    }
    let long = "7001 says something that is longer than the screen is wide".to_owned();
    fake.model
        .note(Duration::from_secs(2), crate::plan::watch::Mood::Bad, long);
    let lines = drawn(&mut view(ASCII), &fake, 40, 10);
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("something that is ~") && line.len() == 40),
        "{lines:?}"
    );
}

#[test]
fn what_was_scrolled_back_to_stays_where_it_is() {
    let mut fake = Fake::seen(3);
    for number in 0..40 {
        let text = format!("event {number}");
        fake.model
            .note(Duration::ZERO, crate::plan::watch::Mood::Plain, text);
    }
    let mut view = view(PLAIN);
    drawn(&mut view, &fake, 80, 24);
    view.press(Key::PageUp, &fake.model);
    let first = |lines: &[String]| lines[12].clone();
    let before = first(&drawn(&mut view, &fake, 80, 24));
    fake.model.note(
        Duration::ZERO,
        crate::plan::watch::Mood::Plain,
        "new".into(),
    );
    assert_eq!(first(&drawn(&mut view, &fake, 80, 24)), before);
    view.press(Key::PageDown, &fake.model);
    view.press(Key::PageDown, &fake.model);
    let lines = drawn(&mut view, &fake, 80, 24);
    assert!(
        lines.iter().any(|line| line.ends_with("  new")),
        "{lines:?}"
    );

    let log = |last: usize| -> Pane {
        Pane::Log(Ok((last - 40..last).map(|n| format!("line {n}")).collect()))
    };
    view.press(Key::Char('l'), &fake.model);
    view.pane = log(40);
    drawn(&mut view, &fake, 80, 24);
    view.press(Key::PageUp, &fake.model);
    let before = drawn(&mut view, &fake, 80, 24);
    // Three lines more, of which the file's end that is read has room for by leaving three out.
    view.pane = log(43);
    assert_eq!(drawn(&mut view, &fake, 80, 24)[3..], before[3..]);
}

#[test]
fn each_event_has_the_time_of_its_clock() {
    let mut fake = Fake::seen(1);
    let mut view = view(PLAIN);
    fake.model.note(
        Duration::ZERO,
        crate::plan::watch::Mood::Plain,
        "one".into(),
    );
    drawn(&mut view, &fake, 80, 24);
    // The machine slept for an hour.
    view.clock.began += 3600;
    fake.model.note(
        Duration::ZERO,
        crate::plan::watch::Mood::Plain,
        "two".into(),
    );
    let lines = drawn(&mut view, &fake, 80, 24);
    for wanted in ["23:59:58   one", "00:59:58   two"] {
        assert!(
            lines.iter().any(|line| line == wanted),
            "{wanted}: {lines:?}"
        );
    }
}
