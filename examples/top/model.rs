//! What the server has told: the whole state, and the changes since then.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    event::Event,
    text::Text,
    wire::{Build, EndpointFields, Fields, PoolFields, Sample, State, Update},
};

/// The number of samples that are kept, one for each second.
const HISTORY: usize = 120;

/// The number of events that are kept.
const EVENTS: usize = 100;

/// The pools of a server with their endpoints and histories.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) build: Build,
    /// For how many seconds the server runs. Ages are computed with it, because clocks that show dates can be set.
    pub(crate) uptime: f64,
    pub(crate) pools: Vec<Pool>,
    /// The newest event is the last one.
    pub(crate) events: VecDeque<Event>,
}

/// A pool.
pub(crate) struct Pool {
    /// The name as the server writes it. It identifies the pool in updates.
    key: String,
    pub(crate) name: Text,
    fields: Fields,
    pub(crate) shown: PoolFields,
    pub(crate) history: History,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// An endpoint of a pool.
pub(crate) struct Endpoint {
    /// The id as the server writes it. It identifies the endpoint in updates.
    pub(crate) key: String,
    fields: Fields,
    pub(crate) shown: EndpointFields,
    /// When the newest conditions and checks were told, as the uptime of the server.
    told: f64,
    /// When the state was seen to change, as the uptime of the server.
    changed: Option<f64>,
    pub(crate) history: History,
}

/// The newest samples of a pool or an endpoint. The newest one is the last.
#[derive(Default)]
pub(crate) struct History(VecDeque<Sample>);

/// A state or an update cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the server does not send the JSON of a status page")]
    Json(#[from] serde_json::Error),
    #[error("the update is about a pool that is not known")]
    UnknownPool,
}

impl Model {
    /// Reads the whole state.
    pub(crate) fn read(json: &str) -> Result<Self, ReadError> {
        let State { uptime, build, pools, events } = serde_json::from_str(json)?;
        let pools = pools.into_iter().map(|fields| Pool::read(fields, uptime)).collect::<Result<_, _>>()?;
        let mut model = Self { build, uptime, pools, events: VecDeque::new() };
        model.add_events(events);
        Ok(model)
    }

    /// Applies an update. After an error, the whole state must be read again.
    pub(crate) fn update(&mut self, json: &str) -> Result<(), ReadError> {
        let Update { uptime, seconds, pools, events } = serde_json::from_str(json)?;
        self.uptime = uptime;
        let seconds = seconds.min(HISTORY);
        let mut newest = Vec::new();
        for mut fields in pools {
            let name = text(&fields, "name");
            let index = self.pools.iter().position(|pool| pool.key == name).ok_or(ReadError::UnknownPool)?;
            let samples = samples(&mut fields)?;
            if let Some(pool) = self.pools.get_mut(index) {
                pool.update(fields, seconds, uptime)?;
            }
            newest.push((index, samples));
        }
        for (index, pool) in self.pools.iter_mut().enumerate() {
            let samples = newest.iter().find(|(changed, _)| *changed == index).map(|(_, samples)| &**samples);
            pool.history.advance(seconds, samples.unwrap_or_default(), pool.shown.stats.attempts.in_flight);
            if samples.is_none() {
                pool.endpoints.iter_mut().for_each(|endpoint| endpoint.advance(seconds, &[]));
            }
        }
        self.add_events(events);
        Ok(())
    }

    fn add_events(&mut self, events: Vec<Fields>) {
        self.events.extend(events.into_iter().map(|fields| Event::read(&fields)));
        self.events.drain(..self.events.len().saturating_sub(EVENTS));
    }
}

impl Pool {
    fn read(mut fields: Fields, now: f64) -> Result<Self, ReadError> {
        let key = text(&fields, "name");
        let samples: Vec<Sample> = take(&mut fields, "samples")?;
        let rows: Vec<Fields> = take(&mut fields, "endpoints")?;
        let endpoints = rows.into_iter().map(|fields| Endpoint::read(fields, now)).collect::<Result<_, _>>()?;
        let (name, shown) = (Text::new(&key), shown(&fields)?);
        Ok(Self { key, name, fields, shown, history: History::of(samples), endpoints })
    }

    fn update(&mut self, mut fields: Fields, seconds: usize, now: f64) -> Result<(), ReadError> {
        let rows: Vec<Fields> = take(&mut fields, "endpoints")?;
        let removed: Vec<String> = take(&mut fields, "removed")?;
        self.fields.extend(fields);
        self.shown = shown(&self.fields)?;
        self.endpoints.retain(|endpoint| !removed.contains(&endpoint.key));
        // Large pools have many rows.
        let places: std::collections::HashMap<_, _> =
            self.endpoints.iter().enumerate().map(|(index, endpoint)| (endpoint.key.clone(), index)).collect();
        let mut moved = vec![false; self.endpoints.len()];
        for mut fields in rows {
            let key = text(&fields, "id");
            match places.get(&key).and_then(|index| self.endpoints.get_mut(*index).zip(moved.get_mut(*index))) {
                // The whole history is sent of an endpoint that has left and come back.
                Some((endpoint, moved)) if !fields.contains_key("samples") => {
                    let newest = samples(&mut fields)?;
                    endpoint.update(fields, now)?;
                    endpoint.advance(seconds, &newest);
                    *moved = true;
                }
                Some((endpoint, moved)) => (*endpoint, *moved) = (Endpoint::read(fields, now)?, true),
                None => {
                    self.endpoints.push(Endpoint::read(fields, now)?);
                    moved.push(true);
                }
            }
        }
        for (endpoint, _) in self.endpoints.iter_mut().zip(moved).filter(|(_, moved)| !moved) {
            endpoint.advance(seconds, &[]);
        }
        Ok(())
    }
}

impl Endpoint {
    fn read(mut fields: Fields, now: f64) -> Result<Self, ReadError> {
        let whole: Option<Vec<Sample>> = take(&mut fields, "samples")?;
        let samples = whole.map_or_else(|| samples(&mut fields), Ok)?;
        let shown = shown(&fields)?;
        Ok(Self { key: text(&fields, "id"), fields, shown, told: now, changed: None, history: History::of(samples) })
    }

    fn update(&mut self, fields: Fields, now: f64) -> Result<(), ReadError> {
        let is_told = ["conditions", "checks"].iter().any(|name| fields.contains_key(*name));
        // Ages of before are made those of now, because only one of the two lists may be new.
        if is_told {
            let aged = now - self.told;
            let old = (self.shown.conditions.iter_mut().map(|condition| &mut condition.since))
                .chain(self.shown.checks.iter_mut().map(|check| &mut check.since));
            old.for_each(|since| *since += aged);
        }
        let (conditions, checks) = (fields.contains_key("conditions"), fields.contains_key("checks"));
        self.fields.extend(fields);
        let old = std::mem::replace(&mut self.shown, shown(&self.fields)?);
        if old.availability != self.shown.availability {
            self.changed = Some(now);
        }
        if !conditions {
            self.shown.conditions = old.conditions;
        }
        if !checks {
            self.shown.checks = old.checks;
        }
        if is_told {
            self.told = now;
        }
        Ok(())
    }

    fn advance(&mut self, seconds: usize, newest: &[Sample]) {
        self.history.advance(seconds, newest, self.shown.in_flight);
    }

    /// Returns why the endpoint is not up, or what its last failed probe has complained of.
    pub(crate) fn reason(&self) -> String {
        if let Some(condition) = self.shown.conditions.first() {
            return format!("{}: {}", condition.source, condition.reason);
        }
        let mut failing = self.shown.checks.iter().filter_map(|check| Some((&check.name, check.last_error.as_ref()?)));
        failing.next().map_or_else(String::new, |(name, error)| format!("{name}: {error}"))
    }

    /// Returns for how many seconds the endpoint has had its state, if that is known. `now` is the uptime of the server.
    pub(crate) fn since(&self, now: f64) -> Option<f64> {
        let age = |since: f64| since + now - self.told;
        let since = match self.shown.conditions.first() {
            Some(condition) => Some(age(condition.since)),
            // Checks do not know that an operator has made the endpoint ready.
            None => {
                let checks = self.shown.checks.iter().map(|check| age(check.since));
                checks.chain(self.changed.map(|changed| now - changed)).reduce(f64::min)
            }
        };
        since.map(|since| since.max(0.0))
    }
}

impl History {
    fn of(samples: Vec<Sample>) -> Self {
        let skipped = samples.len().saturating_sub(HISTORY);
        Self(samples.into_iter().skip(skipped).collect())
    }

    /// Moves on. In seconds without a sample there were no requests, and as many are in flight as before.
    fn advance(&mut self, seconds: usize, newest: &[Sample], in_flight: u64) {
        let quiet = Sample { in_flight: in_flight as f64, ..Sample::default() };
        let newest = newest.get(newest.len().saturating_sub(seconds)..).unwrap_or_default();
        self.0.extend(std::iter::repeat_n(quiet, seconds - newest.len()));
        self.0.extend(newest);
        self.0.drain(..self.0.len().saturating_sub(HISTORY));
    }

    /// Returns the newest sample.
    pub(crate) fn newest(&self) -> Sample {
        self.0.back().copied().unwrap_or_default()
    }

    /// Returns the newest samples, at most `count` of them, the oldest first.
    pub(crate) fn last(&self, count: usize) -> impl Iterator<Item = &Sample> {
        self.0.iter().skip(self.0.len().saturating_sub(count))
    }
}

/// Takes the newest samples out of the fields of a pool or an endpoint: those of all seconds since the update before, or
/// only the last one.
fn samples(fields: &mut Fields) -> Result<Vec<Sample>, serde_json::Error> {
    let last: Option<Sample> = take(fields, "sample")?;
    let recent: Vec<Sample> = take(fields, "recent_samples")?;
    Ok(if recent.is_empty() { Vec::from_iter(last) } else { recent })
}

/// Takes a value out of fields. It may be missing or null.
fn take<T: DeserializeOwned + Default>(fields: &mut Fields, name: &str) -> Result<T, serde_json::Error> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => serde_json::from_value(value),
    }
}

fn text(fields: &Fields, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn shown<'f, T: serde::Deserialize<'f>>(fields: &'f Fields) -> Result<T, serde_json::Error> {
    T::deserialize(fields)
}
