use super::own_response::Complete;
use crate::{
    body::Timeouts,
    check::RequestChecks,
    error::ErrorResponses,
    headers::{ForwardingFields, HostRule, Via},
    tunnel::Tunnels,
};

/// All settings of a proxy.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) checks: RequestChecks,
    pub(super) max_body_bytes: Option<u64>,
    pub(super) host: HostRule,
    pub(super) forwarding: ForwardingFields,
    pub(super) via: Option<Via>,
    pub(super) timeouts: Timeouts,
    pub(super) upgrades: bool,
    pub(super) tunnels: Tunnels,
    pub(super) errors: ErrorResponses,
    pub(super) complete: Option<Complete>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            checks: RequestChecks::default(),
            max_body_bytes: None,
            host: HostRule::default(),
            forwarding: ForwardingFields::default(),
            via: None,
            timeouts: Timeouts::default(),
            upgrades: true,
            tunnels: Tunnels::default(),
            errors: ErrorResponses::default(),
            complete: None,
        }
    }
}
