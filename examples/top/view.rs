//! What of the model is shown, and how keys change it.

use std::cmp::Ordering;

use crate::model::{Endpoint, Model, Pool};

/// The column by which endpoints are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Endpoint,
    State,
    Rate,
    Errors,
    P99,
    InFlight,
}

impl Sort {
    const ALL: [Self; 6] = [Self::Endpoint, Self::State, Self::Rate, Self::Errors, Self::P99, Self::InFlight];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::State => "state",
            Self::Rate => "rate",
            Self::Errors => "errors",
            Self::P99 => "p99",
            Self::InFlight => "in flight",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or_default();
        Self::ALL.get(at + 1).copied().unwrap_or_default()
    }

    /// Compares two endpoints. The first ones are those that a person looks for: the busiest, the slowest, those that are
    /// not up.
    fn compare(self, one: &Endpoint, other: &Endpoint) -> Ordering {
        let descending = |value: fn(&Endpoint) -> f64| value(other).total_cmp(&value(one));
        match self {
            Self::Endpoint => Ordering::Equal,
            Self::State => state_rank(one).cmp(&state_rank(other)),
            Self::Rate => descending(|endpoint| endpoint.history.newest().rate),
            Self::Errors => descending(|endpoint| endpoint.history.newest().errors),
            Self::P99 => descending(|endpoint| endpoint.history.newest().p99.unwrap_or(-1.0)),
            Self::InFlight => descending(|endpoint| endpoint.shown.in_flight as f64),
        }
        .then_with(|| one.shown.id.cmp(&other.shown.id))
    }
}

/// Returns a low number for states that need attention.
fn state_rank(endpoint: &Endpoint) -> u8 {
    match endpoint.shown.availability.as_str() {
        "unhealthy" => 0,
        "probation" => 1,
        "maintenance" => 3,
        "draining" => 4,
        "up" => 5,
        _ => 2,
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    /// Select another endpoint: so many rows down, or up if negative.
    Move(isize),
    First,
    Last,
    NextPool,
    PreviousPool,
    NextSort,
    Reverse,
    Help,
    /// Begin to write what is searched.
    Search,
    /// Write a character of what is searched.
    Character(char),
    Backspace,
    /// Keep what is searched, and end writing.
    Accept,
    /// Search nothing, or close the help.
    Cancel,
}

/// What is shown.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The pool, by its name. `None` is the first one.
    pool: Option<String>,
    pub(crate) sort: Sort,
    pub(crate) is_reversed: bool,
    pub(crate) search: String,
    /// Whether keys write what is searched.
    pub(crate) is_searching: bool,
    /// The id of the selected endpoint. `None` is the first one.
    selected: Option<String>,
    pub(crate) shows_help: bool,
}

impl View {
    /// Returns the pool that is shown, and its place. `None` if there is no pool.
    pub(crate) fn pool<'m>(&self, model: &'m Model) -> Option<(usize, &'m Pool)> {
        let index = model.pools.iter().position(|pool| Some(pool.name.as_str()) == self.pool.as_deref());
        let index = index.unwrap_or_default();
        Some((index, model.pools.get(index)?))
    }

    /// Returns the endpoints that are shown of a pool, in their order.
    pub(crate) fn rows<'m>(&self, pool: &'m Pool) -> Vec<&'m Endpoint> {
        let mut rows: Vec<_> = pool.endpoints.iter().filter(|endpoint| self.finds(endpoint)).collect();
        rows.sort_by(|one, other| self.sort.compare(one, other));
        if self.is_reversed {
            rows.reverse();
        }
        rows
    }

    /// Returns whether an endpoint has the searched text in its id, address, zone, state or reason.
    fn finds(&self, endpoint: &Endpoint) -> bool {
        if self.search.is_empty() {
            return true;
        }
        let (search, shown) = (self.search.to_lowercase(), &endpoint.shown);
        let has = |text: &str| text.to_lowercase().contains(&search);
        has(shown.id.as_str())
            || has(shown.address.as_str())
            || has(shown.availability.as_str())
            || shown.zone.as_ref().is_some_and(|zone| has(zone.as_str()))
            || has(&endpoint.reason())
    }

    /// Returns the place of the selected endpoint among the rows. It is 0 if the endpoint is not there.
    pub(crate) fn selected(&self, rows: &[&Endpoint]) -> usize {
        let selected = self.selected.as_deref();
        rows.iter().position(|endpoint| Some(endpoint.key.as_str()) == selected).unwrap_or_default()
    }

    /// Does what a key asks for, except quitting.
    pub(crate) fn act(&mut self, action: Action, model: &Model) {
        match action {
            Action::Quit => {}
            Action::Move(by) => self.select(model, |at, _| at.saturating_add_signed(by)),
            Action::First => self.select(model, |_, _| 0),
            Action::Last => self.select(model, |_, last| last),
            Action::NextPool => self.show_pool(model, |at, count| (at + 1) % count),
            Action::PreviousPool => self.show_pool(model, |at, count| (at + count - 1) % count),
            Action::NextSort => self.sort = self.sort.next(),
            Action::Reverse => self.is_reversed = !self.is_reversed,
            Action::Help => self.shows_help = !self.shows_help,
            Action::Search => self.is_searching = true,
            Action::Character(c) => self.search.push(c),
            Action::Backspace => drop(self.search.pop()),
            Action::Accept => self.is_searching = false,
            Action::Cancel if self.shows_help => self.shows_help = false,
            Action::Cancel => {
                self.is_searching = false;
                self.search.clear();
            }
        }
    }

    /// Selects a row. The function gets the place of the selected row and that of the last row.
    fn select(&mut self, model: &Model, to: impl FnOnce(usize, usize) -> usize) {
        let Some((_, pool)) = self.pool(model) else { return };
        let rows = self.rows(pool);
        let last = rows.len().saturating_sub(1);
        let at = to(self.selected(&rows), last).min(last);
        self.selected = rows.get(at).map(|endpoint| endpoint.key.clone());
    }

    /// Shows another pool. The function gets the place of the present one and the number of pools, which is not 0.
    fn show_pool(&mut self, model: &Model, to: impl FnOnce(usize, usize) -> usize) {
        let Some((index, _)) = self.pool(model) else { return };
        let next = model.pools.get(to(index, model.pools.len()));
        self.pool = next.map(|pool| pool.name.as_str().to_owned());
        self.selected = None;
    }
}
