use std::sync::{Arc, atomic::Ordering::Relaxed};

use equipoise_core::__private::seconds_rounded_up;
use equipoise_proxy::error::ErrorResponses;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, Entry, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use sha2::{Digest, Sha256};

use super::{
    AuthFailure, Authenticated, IdentityFields, Realm, Requirements,
    any::{Decision, Refused, Schemes},
    fields::remove_all,
    stats::LayerCounters,
};
use crate::{Denial, Identity};

/// The settings of a layer, and what it counts.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) schemes: Schemes,
    pub(super) optional: bool,
    pub(super) realm: Realm,
    pub(super) fields: IdentityFields,
    pub(super) requirements: Requirements,
    pub(super) errors: ErrorResponses,
    pub(super) counters: Arc<LayerCounters>,
}

impl Settings {
    pub(super) fn new(schemes: Schemes, optional: bool) -> Self {
        Self {
            schemes,
            optional,
            realm: Realm::default(),
            fields: IdentityFields::default(),
            requirements: Requirements::default(),
            errors: ErrorResponses::default(),
            counters: Arc::default(),
        }
    }
}

/// What a client gets if its request is not passed on.
pub(super) struct Denied {
    pub(super) denial: Box<Denial>,
    /// The identity of the client, if it is known.
    pub(super) identity: Option<Identity>,
}

/// Decides about the requests of a service.
pub(super) struct Gate {
    settings: Settings,
    /// The challenges of the schemes that have one, with the places of the schemes.
    challenges: Vec<(usize, HeaderValue)>,
    /// The fields that schemes write.
    written: Vec<HeaderName>,
}

impl Gate {
    pub(super) fn new(settings: Settings) -> Self {
        let challenges = settings.schemes.challenges(&settings.realm);
        Self { challenges, written: settings.schemes.written_fields(), settings }
    }

    pub(super) fn schemes(&self) -> &Schemes {
        &self.settings.schemes
    }

    pub(super) fn errors(&self) -> &ErrorResponses {
        &self.settings.errors
    }

    /// Removes what a client cannot say before schemes read the request.
    pub(super) fn clean(&self, parts: &mut Parts) {
        // A client could otherwise have fields removed that are set below, where hop-by-hop fields are removed.
        equipoise_proxy::headers::remove_named_fields(&mut parts.headers);
        self.settings.fields.remove_from(&mut parts.headers);
        parts.extensions.remove::<Identity>();
        if let Entry::Occupied(mut fields) = parts.headers.entry(AUTHORIZATION) {
            fields.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }

    /// Applies a decision to a request. Returns what the response to a request that is passed on gets. `None` if it is
    /// anonymous.
    pub(super) fn apply(&self, parts: &mut Parts, decision: Decision) -> Result<Option<Authenticated>, Denied> {
        let counters = &self.settings.counters;
        match decision {
            Ok(authenticated) => {
                if let Some(denial) = self.settings.requirements.denial(authenticated.identity(), &self.settings.realm)
                {
                    counters.forbidden.fetch_add(1, Relaxed);
                    tracing::debug!(
                        mechanism = %authenticated.identity().mechanism(), code = denial.code(),
                        "a request is denied: its identity does not meet the requirements"
                    );
                    let identity = Some(authenticated.identity().clone());
                    return Err(Denied { denial: Box::new(denial), identity });
                }
                self.remove(parts)?;
                counters.allowed.fetch_add(1, Relaxed);
                self.admit(parts, &authenticated);
                Ok(Some(authenticated))
            }
            Err(Refused { failure: AuthFailure::Missing, .. }) if self.settings.optional => {
                self.remove(parts)?;
                counters.anonymous.fetch_add(1, Relaxed);
                Ok(None)
            }
            Err(refused) => Err(self.denied(refused)),
        }
    }

    /// Removes credentials, and what a client cannot say. Before it, schemes can read fields that they write
    /// themselves.
    fn remove(&self, parts: &mut Parts) -> Result<(), Denied> {
        if !self.settings.schemes.remove_credentials(parts) {
            let failure = AuthFailure::unavailable("the scheme has panicked");
            return Err(self.denied(Refused { failure, challenges: Vec::new() }));
        }
        remove_all(&mut parts.headers, &self.written);
        Ok(())
    }

    fn denied(&self, refused: Refused) -> Denied {
        self.settings.counters.count_failure(&refused.failure);
        Denied { denial: self.denial(refused), identity: None }
    }

    fn admit(&self, parts: &mut Parts, authenticated: &Authenticated) {
        for (name, value) in authenticated.fields().filter(|(name, _)| self.written.contains(name)) {
            parts.headers.append(name, value.clone());
        }
        let identity = authenticated.identity();
        self.settings.fields.set(&mut parts.headers, identity);
        let distinction = self.distinction(&parts.headers, authenticated.covers_authorization());
        parts.extensions.insert(identity.clone().distinguish(&distinction));
    }

    /// Returns a digest of the credentials that the backend gets, and of the fields that schemes have written: it may
    /// answer the same identity differently by them. Empty if there are none.
    fn distinction(&self, headers: &HeaderMap, covers_authorization: bool) -> Vec<u8> {
        // The claims of a token count already, and a new token with the same claims is the same sender.
        let authorization = Some(AUTHORIZATION).filter(|_| !covers_authorization);
        let names = self.written.iter().chain(&authorization);
        let mut fields = names.flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value))).peekable();
        if fields.peek().is_none() {
            return Vec::new();
        }
        let mut digest = Sha256::new();
        for (name, value) in fields {
            for text in [name.as_str().as_bytes(), value.as_bytes()] {
                digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                digest.update(text);
            }
        }
        digest.finalize().to_vec()
    }

    fn denial(&self, refused: Refused) -> Box<Denial> {
        let (code, message) = match refused.failure {
            AuthFailure::Denied(denial) => return self.with_challenge(denial),
            AuthFailure::Unavailable { reason, retry_after } => {
                tracing::debug!(%reason, "a request is denied: its authentication is not possible");
                let message = "the credentials cannot be verified at present";
                let denial = Denial::new(StatusCode::SERVICE_UNAVAILABLE, "auth_unavailable", message);
                return Box::new(denial.field(RETRY_AFTER, seconds_rounded_up(retry_after).into()));
            }
            AuthFailure::Missing => ("missing_credentials", "the request has no credentials"),
            AuthFailure::Invalid { reason, message, .. } => {
                tracing::debug!(reason, "a request is denied: its credentials are not valid");
                ("invalid_credentials", message)
            }
        };
        let own = |at: usize| refused.challenges.iter().find(|(place, _)| *place == at);
        let mut challenges: Vec<&HeaderValue> =
            self.challenges.iter().map(|(at, challenge)| own(*at).map_or(challenge, |(_, own)| own)).collect();
        let has_general = |at: &usize| self.challenges.iter().any(|(place, _)| place == at);
        challenges.extend(refused.challenges.iter().filter(|(at, _)| !has_general(at)).map(|(_, own)| own));
        let status = if challenges.is_empty() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        let denial = Denial::new(status, code, message);
        let add = |denial: Denial, challenge: &HeaderValue| denial.field(WWW_AUTHENTICATE, challenge.clone());
        Box::new(challenges.into_iter().fold(denial, add))
    }

    /// Adds the challenges of the schemes to a response with status 401 that has none.
    fn with_challenge(&self, denial: Box<Denial>) -> Box<Denial> {
        if denial.status() != StatusCode::UNAUTHORIZED || denial.fields().contains_key(WWW_AUTHENTICATE) {
            return denial;
        }
        let add = |denial: Denial, (_, challenge): &(_, HeaderValue)| denial.field(WWW_AUTHENTICATE, challenge.clone());
        Box::new(self.challenges.iter().fold(*denial, add))
    }
}
