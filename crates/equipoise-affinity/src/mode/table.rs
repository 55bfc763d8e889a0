use http::request::Parts;

use super::{Answer, Home, Sought, keyed};
use crate::{key::SessionKey, store::Guarded};

pub(super) fn seek(key: &SessionKey, store: &Guarded, head: &Parts) -> Sought {
    Sought::by_key(keyed::read(key, head), |session| Home::Asked(store.lookup(session)))
}

pub(super) fn settle(store: &Guarded, answer: &Answer<'_>) -> bool {
    let binds = answer.binds && answer.members.has(answer.served);
    let Some(session) = answer.session.filter(|_| binds) else { return false };
    if answer.home.is_none() && !(answer.may_begin)() {
        return false;
    }
    store.bind(session, answer.served, answer.home);
    true
}
