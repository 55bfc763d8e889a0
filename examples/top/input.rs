//! The keys.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::view::{Action, View};

/// The rows that a page up or down moves.
const PAGE: isize = 10;

/// The keys, for the help.
pub(crate) const HELP: [(&str, &str); 10] = [
    ("q, Ctrl-C", "quit"),
    ("↑ ↓, k j", "select an endpoint"),
    ("PgUp PgDn", "move by ten"),
    ("Home End, g G", "select the first or the last one"),
    ("p, Tab", "next pool (P, Shift-Tab: previous pool)"),
    ("s", "sort by the next column"),
    ("r", "reverse the order"),
    ("/", "search ids, addresses, zones, states and reasons"),
    ("Esc", "end the search, or close this help"),
    ("?", "this help"),
];

/// Returns what an event of the terminal asks for.
pub(crate) fn action(event: &Event, view: &View) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => of_key(*key, view),
        _ => None,
    }
}

fn of_key(key: KeyEvent, view: &View) -> Option<Action> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if is_control => return Some(Action::Quit),
        KeyCode::Char(_) if is_control || key.modifiers.contains(KeyModifiers::ALT) => return None,
        _ => {}
    }
    Some(match key.code {
        KeyCode::Esc => Action::Cancel,
        KeyCode::Up => Action::Move(-1),
        KeyCode::Down => Action::Move(1),
        KeyCode::PageUp => Action::Move(-PAGE),
        KeyCode::PageDown => Action::Move(PAGE),
        KeyCode::Enter if view.is_searching => Action::Accept,
        KeyCode::Backspace if view.is_searching => Action::Backspace,
        KeyCode::Char(c) if view.is_searching => Action::Character(c),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Tab | KeyCode::Char('p') => Action::NextPool,
        KeyCode::BackTab | KeyCode::Char('P') => Action::PreviousPool,
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Char('j') => Action::Move(1),
        KeyCode::Char('s') => Action::NextSort,
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('/') => Action::Search,
        KeyCode::Char('?') => Action::Help,
        _ => return None,
    })
}
