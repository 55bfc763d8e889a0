//! The picture in the terminal.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize},
    symbols,
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph, Sparkline, TableState},
};

use crate::{
    format::{count, milliseconds, span},
    input::HELP,
    model::{Endpoint, Model, Pool},
    table::{colour, endpoints},
    view::View,
    wire::Sample,
};

/// Data of this age, in seconds, is marked as old. The server sends each second.
const OLD: u64 = 5;

/// The height below which events are left out.
const LOW: u16 = 24;

/// What is drawn.
pub(crate) struct Picture<'a> {
    pub(crate) url: &'a str,
    /// `None` until the first state has arrived.
    pub(crate) model: Option<&'a Model>,
    pub(crate) view: &'a View,
    /// Why there is no connection. `None` if there is one.
    pub(crate) problem: Option<&'a str>,
    /// The seconds since something has arrived.
    pub(crate) age: u64,
}

pub(crate) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let events = if frame.area().height < LOW { 0 } else { 6 };
    let [head, body, log, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(status(picture), head);
    match picture.model.map(|model| (model, picture.view.pool(model))) {
        None => frame.render_widget(waiting(picture), body),
        Some((_, None)) => frame.render_widget(Paragraph::new("The server has no pools."), body),
        Some((model, Some((index, pool)))) => draw_pool(frame, body, model, (index, pool), picture.view),
    }
    if let (Some(model), 1..) = (picture.model, events) {
        frame.render_widget(newest_events(model, log.height), log);
    }
    frame.render_widget(keys(picture.view), foot);
    if picture.view.shows_help {
        help(frame);
    }
}

/// The first line: the program, and whether the data is of now.
fn status<'p>(picture: &Picture<'p>) -> Line<'p> {
    let mut spans = Vec::new();
    if let Some(model) = picture.model {
        spans.push(format!("{} {}", model.build.program, model.build.version).bold());
        spans.push(format!(" at {}, up {}  ", picture.url, span(model.uptime)).into());
    } else {
        spans.push(format!("{}  ", picture.url).into());
    }
    spans.push(match picture.problem {
        Some(problem) if picture.model.is_some() => {
            format!("○ {} old: {problem}", span(picture.age as f64)).red().bold()
        }
        Some(problem) => format!("○ {problem}").red().bold(),
        None if picture.model.is_none() => "○ connecting".yellow(),
        None if picture.age >= OLD => format!("○ {} old", span(picture.age as f64)).yellow().bold(),
        None => "● live".green(),
    });
    Line::from(spans)
}

fn waiting<'p>(picture: &Picture<'p>) -> Paragraph<'p> {
    Paragraph::new(match picture.problem {
        Some(_) => "No data yet. Trying again each second.",
        None => "",
    })
}

fn draw_pool(frame: &mut Frame<'_>, area: Rect, model: &Model, (index, pool): (usize, &Pool), view: &View) {
    let rows = view.rows(pool);
    let selected = view.selected(&rows);
    let graphs = if area.height < 16 { 0 } else { 4 };
    let [tabs, summary, history, table, details] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(graphs),
        Constraint::Min(2),
        Constraint::Length(2),
    ])
    .areas(area);
    frame.render_widget(pools(model, index), tabs);
    frame.render_widget(totals(pool, rows.len()), summary);
    if graphs > 0 {
        draw_history(frame, history, pool);
    }
    let mut state = TableState::new().with_selected((!rows.is_empty()).then_some(selected));
    frame.render_stateful_widget(endpoints(&rows, model.uptime, view, table.width), table, &mut state);
    if let Some(endpoint) = rows.get(selected) {
        frame.render_widget(detail(endpoint), details);
    }
}

/// The names of the pools.
fn pools(model: &Model, shown: usize) -> Line<'_> {
    let name = |(index, pool): (usize, &Pool)| {
        let style = if index == shown { Style::new().bold().reversed() } else { Style::new().dim() };
        [Span::styled(format!(" {} ", pool.name), style), " ".into()]
    };
    // The shown one first, so that it is visible if there are many.
    let ordered = model.pools.iter().enumerate();
    let skipped = if model.pools.len() > 8 { shown } else { 0 };
    Line::from_iter(ordered.skip(skipped).flat_map(name))
}

/// The totals of a pool.
fn totals(pool: &Pool, found: usize) -> Line<'static> {
    let (stats, newest) = (&pool.shown.stats, pool.history.newest());
    let up = pool.endpoints.iter().filter(|endpoint| endpoint.shown.availability.as_str() == "up").count();
    let mut text = format!("{up} of {} up", pool.endpoints.len());
    if found < pool.endpoints.len() {
        text += &format!(", {found} found");
    }
    if pool.shown.departed() > 0 {
        text += &format!(", {} left recently", pool.shown.departed());
    }
    text += &format!(
        "  {}/s  {} errors/s  in flight {}  waiting {}  attempts {}  failed {}  retries {}  failovers {}",
        count(newest.rate),
        count(newest.errors),
        count(stats.attempts.in_flight as f64),
        count(stats.waiting as f64),
        count(stats.attempts.total as f64),
        count(stats.attempts.failed() as f64),
        count(stats.retries as f64),
        count(stats.failovers as f64),
    );
    if !pool.shown.strategy.as_str().is_empty() {
        text += &format!("  {}", pool.shown.strategy);
    }
    text.into()
}

/// The history of a pool, as bars.
fn draw_history(frame: &mut Frame<'_>, area: Rect, pool: &Pool) {
    type Value = fn(&Sample) -> f64;
    let newest = pool.history.newest();
    let graphs: [(String, Value, Color); 4] = [
        (format!("rate {}/s", count(newest.rate)), |sample| sample.rate, Color::Green),
        (format!("errors {}/s", count(newest.errors)), |sample| sample.errors, Color::Red),
        (
            format!("p99 {}, p50 {}", milliseconds(newest.p99), milliseconds(newest.p50)),
            |sample| sample.p99.unwrap_or(0.0),
            Color::Cyan,
        ),
        (format!("in flight {}", count(newest.in_flight)), |sample| sample.in_flight, Color::Magenta),
    ];
    let areas: [Rect; 4] = Layout::horizontal([Constraint::Fill(1); 4]).spacing(1).areas(area);
    for ((title, value, colour), area) in graphs.into_iter().zip(areas) {
        let samples: Vec<_> = pool.history.last(usize::from(area.width)).map(value).collect();
        // Whole numbers, in which small values are not lost.
        let highest = samples.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let bars = samples.iter().map(|value| (value / highest * 1_000.0) as u64).collect::<Vec<_>>();
        let padded = vec![0; usize::from(area.width).saturating_sub(bars.len())].into_iter().chain(bars);
        let graph = Sparkline::default().data(padded.collect::<Vec<u64>>()).max(1_000).style(colour);
        frame.render_widget(graph.block(Block::new().borders(Borders::TOP).title(title).dim()), area);
    }
}

/// What is known of the selected endpoint and has no column.
fn detail(endpoint: &Endpoint) -> Paragraph<'static> {
    let shown = &endpoint.shown;
    let zone = shown.zone.as_ref().map_or_else(String::new, |zone| format!(", zone {zone}"));
    let counts = format!("{} attempts, {} failed", shown.requests.total, shown.requests.failed());
    let first = Line::from(format!("{}: {}, tier {}{zone}, {counts}", shown.id, shown.address, shown.tier)).dim();
    Paragraph::new(vec![first, Line::from(endpoint.reason()).style(colour(shown.availability.as_str()))])
}

fn newest_events(model: &Model, height: u16) -> Paragraph<'_> {
    let lines = usize::from(height.saturating_sub(1));
    let event = |event: &crate::event::Event| {
        Line::from(vec![
            format!("{} ", event.time()).dim(),
            format!("{} ", event.kind).bold(),
            event.details.as_str().to_owned().into(),
        ])
    };
    let events = model.events.iter().rev().take(lines).map(event);
    Paragraph::new(events.collect::<Vec<_>>())
        .block(Block::new().borders(Borders::TOP).title("events (UTC), the newest first").dim())
}

/// The last line: the search, or the most important keys.
fn keys(view: &View) -> Line<'_> {
    if view.is_searching {
        return Line::from(vec!["/".bold(), view.search.as_str().into(), symbols::block::FULL.into()]);
    }
    let mut spans = vec![format!("sorted by {}", view.sort.name()).into()];
    if !view.search.is_empty() {
        spans.push(format!("  search {:?}", view.search).yellow());
    }
    spans.push("  q quit  p pool  / search  s sort  r reverse  ? help".dim());
    Line::from(spans)
}

fn help(frame: &mut Frame<'_>) {
    let lines: Vec<_> = HELP
        .iter()
        .map(|(keys, about)| Line::from(vec![format!(" {keys:<16}").bold(), Span::from(format!("{about} "))]))
        .collect();
    let (width, height) = (70, u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2));
    let area = frame.area().centered(Constraint::Max(width), Constraint::Max(height));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}
