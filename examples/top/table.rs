//! The table of endpoints, with as many columns as there is room for.

use ratatui::{
    layout::{Alignment, Constraint},
    style::{Color, Modifier, Style, Stylize},
    text::Line,
    widgets::{Row, Table},
};

use crate::{
    format::{count, milliseconds, span, sparkline},
    model::Endpoint,
    view::View,
};

/// The number of seconds in the column with bars.
const BARS: u16 = 20;

/// The least and the greatest width of the column with ids.
const ID_WIDTHS: (usize, usize) = (8, 40);

/// A column of the table.
struct Column {
    title: &'static str,
    width: u16,
    alignment: Alignment,
    /// The columns with the highest numbers are left out first.
    rank: u8,
    cell: fn(&Endpoint, f64) -> String,
}

const fn text(title: &'static str, width: u16, rank: u8, cell: fn(&Endpoint, f64) -> String) -> Column {
    Column { title, width, alignment: Alignment::Left, rank, cell }
}

const fn number(title: &'static str, width: u16, rank: u8, cell: fn(&Endpoint, f64) -> String) -> Column {
    Column { title, width, alignment: Alignment::Right, rank, cell }
}

/// All columns but that with the ids, which is the first one.
static COLUMNS: [Column; 11] = [
    text("state", 11, 0, |endpoint, _| endpoint.shown.availability.to_string()),
    text("since", 8, 6, |endpoint, now| endpoint.since(now).map_or_else(String::new, span)),
    number("weight", 6, 8, |endpoint, _| count(endpoint.shown.weight)),
    number("in flight", 10, 3, in_flight),
    number("rate", 6, 1, |endpoint, _| count(endpoint.history.newest().rate)),
    number("errors", 7, 2, |endpoint, _| count(endpoint.history.newest().errors)),
    number("p50", 7, 5, |endpoint, _| milliseconds(endpoint.history.newest().p50)),
    number("p99", 7, 4, |endpoint, _| milliseconds(endpoint.history.newest().p99)),
    number("attempts", 9, 7, |endpoint, _| count(endpoint.shown.requests.total as f64)),
    text("last 20 s", BARS, 9, |endpoint, _| sparkline(endpoint.history.last(BARS.into()), |sample| sample.rate)),
    text("reason", 20, 10, |endpoint, _| endpoint.reason()),
];

fn in_flight(endpoint: &Endpoint, _: f64) -> String {
    let in_flight = count(endpoint.shown.in_flight as f64);
    match endpoint.shown.max_in_flight {
        Some(max) => format!("{in_flight}/{}", count(max as f64)),
        None => in_flight,
    }
}

/// Returns the columns that fit beside that with the ids.
fn fitting(width: u16) -> Vec<&'static Column> {
    let mut columns: Vec<_> = COLUMNS.iter().collect();
    while columns.iter().map(|column| column.width + 1).sum::<u16>() > width {
        let Some(last) = columns.iter().map(|column| column.rank).max() else { break };
        columns.retain(|column| column.rank != last);
    }
    columns
}

/// Returns the table for an area of a width. `now` is the time of the server.
pub(crate) fn endpoints<'m>(rows: &[&'m Endpoint], now: f64, view: &View, width: u16) -> Table<'m> {
    let longest = rows.iter().map(|endpoint| endpoint.shown.id.as_str().chars().count()).max().unwrap_or_default();
    // One more for the arrow of the column that is sorted.
    let ids = u16::try_from(longest.clamp(ID_WIDTHS.0, ID_WIDTHS.1) + 1).unwrap_or(u16::MAX);
    let columns = fitting(width.saturating_sub(ids));
    let arrow = if view.is_reversed { "▲" } else { "▼" };
    let title = |title: &'static str, alignment| {
        let line = match title == view.sort.name() {
            true => Line::from(format!("{title}{arrow}")).bold(),
            false => Line::from(title),
        };
        line.alignment(alignment)
    };
    let titles = columns.iter().map(|column| title(column.title, column.alignment));
    let head = Row::new(std::iter::once(title("endpoint", Alignment::Left)).chain(titles).collect::<Vec<_>>());
    let row = |endpoint: &&'m Endpoint| {
        let cell = |column: &&Column| {
            let line = Line::from((column.cell)(endpoint, now)).alignment(column.alignment);
            match column.title {
                "state" | "reason" => line.style(colour(endpoint.shown.availability.as_str())),
                "errors" if endpoint.history.newest().errors > 0.0 => line.style(Color::Red),
                "last 20 s" => line.style(Color::Green),
                _ => line,
            }
        };
        let id = Line::from(endpoint.shown.id.as_str().to_owned());
        Row::new(std::iter::once(id).chain(columns.iter().map(cell)).collect::<Vec<_>>())
    };
    let widths = columns.iter().map(|column| match column.title {
        "reason" => Constraint::Fill(1),
        _ => Constraint::Length(column.width),
    });
    let widths: Vec<_> = std::iter::once(Constraint::Length(ids)).chain(widths).collect();
    Table::new(rows.iter().map(row).collect::<Vec<_>>(), widths)
        .header(head.style(Style::new().add_modifier(Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().reversed())
}

/// The colour of a state. Its word says the same.
pub(crate) fn colour(state: &str) -> Color {
    match state {
        "up" => Color::Green,
        "draining" | "probation" => Color::Yellow,
        "maintenance" => Color::Magenta,
        _ => Color::Red,
    }
}
