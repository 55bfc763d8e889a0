use equipoise_core::EndpointId;
use http::request::Parts;

use super::{Home, Memo, Sought, learned};
use crate::{
    learn::{Learn, Route},
    outcome::Unbound,
};

pub(super) fn seek(learn: &Learn, route: Route, head: &Parts) -> Sought {
    match learned::read(learn, head) {
        Ok(session) => {
            let home = route.of(&session).map(EndpointId::from).ok_or(Unbound::Unknown);
            Sought { home: Home::Known(home), session: Some(session), memo: Memo::default() }
        }
        Err(why) => Sought::unbound(why),
    }
}
