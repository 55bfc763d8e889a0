use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A model of a table without a maximum number of sessions: a map and a clock.
#[derive(Default)]
struct Model {
    sessions: HashMap<Vec<u8>, (EndpointId, u64, u64)>,
    now: u64,
}

const IDLE: u64 = 20;
const LIFETIME: u64 = 50;

impl Model {
    fn lookup(&mut self, key: &[u8]) -> Option<EndpointId> {
        let now = self.now;
        self.sessions.retain(|_, (_, used, born)| now - *used <= IDLE && now - *born <= LIFETIME);
        let (endpoint, used, _) = self.sessions.get_mut(key)?;
        *used = now;
        Some(endpoint.clone())
    }

    fn bind(&mut self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let now = self.now;
        let current = self.sessions.get(key).filter(|(_, used, born)| now - used <= IDLE && now - born <= LIFETIME);
        match current.map(|(current, ..)| current) {
            Some(current) if current == endpoint => drop(self.lookup(key)),
            Some(current) if Some(current) != instead_of => {}
            Some(_) => {
                let born = self.sessions.get(key).map_or(now, |(.., born)| *born);
                self.sessions.insert(key.to_vec(), (endpoint.clone(), now, born));
            }
            None => drop(self.sessions.insert(key.to_vec(), (endpoint.clone(), now, now))),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Lookup(Vec<u8>),
    Bind(Vec<u8>, u8, Option<u8>),
    Unbind(Vec<u8>),
    Left(u8),
    Advance(u64),
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || {
        prop_oneof![
            4 => (0..30u8).prop_map(|n| vec![n]),
            1 => (30..36usize).prop_map(|n| vec![7; n]),
            1 => (0..3u8).prop_map(|n| vec![n; 200]),
        ]
    };
    let step = prop_oneof![
        6 => key().prop_map(Step::Lookup),
        6 => (key(), 0..4u8, prop::option::of(0..4u8)).prop_map(|(key, to, from)| Step::Bind(key, to, from)),
        1 => key().prop_map(Step::Unbind),
        1 => (0..4u8).prop_map(Step::Left),
        3 => (0..15u64).prop_map(Step::Advance),
        1 => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn while_there_is_room_a_table_is_a_map_with_a_clock(steps in steps(), capacity in 100..3_000usize) {
        let builder = SessionTable::builder().capacity(capacity);
        let (table, clock) = table_with(builder.idle_timeout(TICK * IDLE as u32).lifetime(TICK * LIFETIME as u32));
        let mut model = Model::default();
        let name = |n: u8| id(&n.to_string());
        for step in steps {
            match step {
                Step::Lookup(key) => prop_assert_eq!(bound(&table, &key), model.lookup(&key)),
                Step::Bind(key, to, from) => {
                    let from = from.map(name);
                    table.bind(&key, &name(to), from.as_ref());
                    model.bind(&key, &name(to), from.as_ref());
                }
                Step::Unbind(key) => {
                    table.unbind(&key);
                    model.sessions.remove(&key);
                }
                Step::Left(n) => {
                    table.left(&name(n));
                    model.sessions.retain(|_, (endpoint, ..)| *endpoint != name(n));
                }
                Step::Advance(ticks) => {
                    clock.advance(TICK * ticks as u32);
                    model.now += ticks;
                }
                Step::Sweep => {
                    table.sweep();
                    model.lookup(b"expires what it should");
                    prop_assert_eq!(table.len(), model.sessions.len());
                }
            }
            prop_assert!(table.sessions().all(|session| session.is_digest()
                || model.sessions.get(session.key()).is_some_and(|(endpoint, ..)| endpoint == session.endpoint())));
        }
        model.lookup(b"expires what it should");
        prop_assert_eq!(table.sessions().count(), model.sessions.len());
        for session in table.sessions() {
            let Some((_, used, born)) = model.sessions.get(session.key()) else { continue };
            prop_assert_eq!(session.idle(), TICK * (model.now - used) as u32);
            prop_assert_eq!(session.age(), TICK * (model.now - born) as u32);
        }
        prop_assert_eq!(table.stats().evictions, 0);
    }
}
