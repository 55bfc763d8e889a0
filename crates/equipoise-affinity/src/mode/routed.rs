use equipoise_core::EndpointId;
use http::request::Parts;

use super::{Home, Sought, learned};
use crate::{
    learn::{Learn, Route},
    outcome::Unbound,
};

pub(super) fn seek(learn: &Learn, route: Route, head: &Parts) -> Sought {
    Sought::by_key(learned::read(learn, head), |session| {
        Home::Known(route.of(session).map(EndpointId::from).ok_or(Unbound::Unknown))
    })
}
