use bytes::Bytes;
use equipoise_tower::RequestHead;
use http::{HeaderMap, request::Parts};

use super::{Answer, Home, Sought};
use crate::{
    learn::{Learn, Learned},
    outcome::Unbound,
    store::Guarded,
};

pub(super) fn seek(learn: &Learn, store: &Guarded, head: &Parts) -> Sought {
    Sought::by_key(read(learn, head), |session| Home::Asked(store.lookup(session)))
}

/// The key that the request brings.
pub(super) fn read(learn: &Learn, head: &Parts) -> Result<Bytes, Unbound> {
    match learn.request_key(RequestHead::of_parts(head)) {
        Ok(Some(key)) => Ok(Bytes::copy_from_slice(key)),
        Ok(None) => Err(Unbound::Absent),
        Err(_) => Err(Unbound::Oversized),
    }
}

pub(super) fn settle(learn: &Learn, store: &Guarded, answer: &Answer<'_>, headers: &HeaderMap) -> bool {
    let learned = learn.response(headers, answer.now).unwrap_or(Learned::Nothing);
    match (learned, answer.session, answer.home) {
        // The session that the request brought, confirmed: away for the moment, it stays where it is.
        (Learned::Key(set), Some(brought), Some(_)) if set == brought && !answer.binds => false,
        (Learned::Key(set), brought, home) => {
            // What was set belongs to who set it, whatever the request belonged to.
            let known = home.filter(|_| brought == Some(set));
            let binds = known.is_some() || (answer.may_begin)();
            if binds {
                store.bind(set, answer.served, known);
            }
            binds
        }
        (Learned::Ended, Some(brought), Some(_)) => {
            store.unbind(brought);
            false
        }
        // It has moved, and who has it now goes on with it.
        (Learned::Nothing, Some(brought), Some(home)) if answer.binds => {
            store.bind(brought, answer.served, Some(home));
            true
        }
        (Learned::Nothing, Some(brought), None) if learn.adopts() && (answer.may_begin)() => {
            store.bind(brought, answer.served, None);
            true
        }
        // Nobody has set this key: it is the client's own word.
        (Learned::Nothing | Learned::Ended, _, _) => false,
    }
}
