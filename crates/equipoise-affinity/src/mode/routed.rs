use equipoise_core::EndpointId;
use http::request::Parts;

use super::{Home, Members, Sought, learned};
use crate::{
    learn::{Learn, Route},
    outcome::Unbound,
};

pub(super) fn seek(learn: &Learn, route: Route, head: &Parts, members: &dyn Members) -> Sought {
    // Finding who stands in takes a look at all endpoints, which a client that makes up ids must not be able to ask for.
    let is_known = |id: &EndpointId| {
        members.knows(id) || {
            members.catch_up();
            members.knows(id)
        }
    };
    Sought::by_key(learned::read(learn, head), |session| {
        Home::Known(route.of(session).map(EndpointId::from).filter(is_known).ok_or(Unbound::Unknown))
    })
}
