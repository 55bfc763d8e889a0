use http::request::Parts;

use super::{Answer, Home, Memo, Sought, keyed};
use crate::{key::SessionKey, store::Guarded};

pub(super) fn seek(key: &SessionKey, store: &Guarded, head: &Parts) -> Sought {
    match keyed::read(key, head) {
        Ok(session) => {
            Sought { home: Home::Asked(store.lookup(&session)), session: Some(session), memo: Memo::default() }
        }
        Err(why) => Sought::unbound(why),
    }
}

pub(super) fn settle(store: &Guarded, answer: &Answer<'_>) -> bool {
    let binds = answer.binds && answer.members.has(answer.served);
    let Some(session) = answer.session.filter(|_| binds) else { return false };
    store.bind(session, answer.served, answer.home);
    true
}
