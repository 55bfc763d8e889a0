//! Drains.

use equipoise_core::Availability;
use equipoise_health::{AdminState, HealthPolicy, machine::Event};

use crate::world::{World, id, seconds};

#[test]
fn a_drain_ends_in_maintenance_at_its_deadline() {
    let mut world = World::new(HealthPolicy::new(), 2);
    world.order(0, AdminState::Drain { deadline: Some(seconds(10.0)) });
    assert_eq!(world.of(0), Availability::Draining);
    world.pass(seconds(9.9), |_, _| None);
    assert_eq!(world.of(0), Availability::Draining);
    world.pass(seconds(0.2), |_, _| None);
    assert_eq!(world.of(0), Availability::Maintenance);
    world.order(0, AdminState::Ready);
    assert_eq!(world.of(0), Availability::Up);
}

#[test]
fn ready_also_cancels_the_deadline() {
    let mut world = World::new(HealthPolicy::new(), 2);
    world.order(0, AdminState::Drain { deadline: Some(seconds(10.0)) });
    world.order(0, AdminState::Ready);
    world.pass(seconds(20.0), |_, _| None);
    assert_eq!(world.of(0), Availability::Up);
    assert_eq!(world.machine.timers(), 0);
}

#[test]
fn without_a_deadline_it_drains_for_good() {
    let mut world = World::new(HealthPolicy::new(), 2);
    world.order(0, AdminState::Drain { deadline: None });
    world.pass(seconds(1e6), |_, _| None);
    assert_eq!(world.of(0), Availability::Draining);
}

#[test]
fn an_endpoint_that_leaves_leaves_no_timer() {
    let mut world = World::new(HealthPolicy::new(), 2);
    world.order(0, AdminState::Drain { deadline: Some(seconds(10.0)) });
    world.tell(Event::Left(id(0)));
    assert_eq!(world.machine.timers(), 0);
    assert!(world.machine.status(id(0)).is_none());
    world.tell(Event::Joined(id(0)));
    assert_eq!(world.machine.status(id(0)).map(|status| status.availability), Some(Availability::Up));
}

#[test]
fn an_administrative_state_may_be_set_before_the_endpoint_joins() {
    let mut world = World::new(HealthPolicy::new(), 1);
    world.order(1, AdminState::Maintenance);
    world.order(2, AdminState::Maintenance);
    world.order(2, AdminState::Ready);
    world.tell(Event::Joined(id(1)));
    world.tell(Event::Joined(id(2)));
    assert_eq!((world.of(1), world.of(2)), (Availability::Maintenance, Availability::Up));
}

#[test]
fn an_administrative_state_survives_a_change_of_address() {
    let mut world = World::new(HealthPolicy::new(), 2);
    world.order(0, AdminState::Maintenance);
    world.order(1, AdminState::Drain { deadline: Some(seconds(10.0)) });
    world.pass(seconds(4.0), |_, _| None);
    for at in 0..2 {
        world.availability.insert(id(at), Availability::Up);
        world.tell(Event::Joined(id(at)));
    }
    assert_eq!((world.of(0), world.of(1)), (Availability::Maintenance, Availability::Draining));
    world.pass(seconds(6.1), |_, _| None);
    assert_eq!(world.of(1), Availability::Maintenance);
    world.order(0, AdminState::Ready);
    world.tell(Event::Left(id(0)));
    world.tell(Event::Joined(id(0)));
    assert_eq!(world.of(0), Availability::Up);
}
