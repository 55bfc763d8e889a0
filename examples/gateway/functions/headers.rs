//! Changes of the header fields of requests and responses.

use equipoise::{
    affinity::source::ClientAddress,
    gateway::filter::{FieldEdits, FieldsLayer, InvalidEdit, SecurityFields},
    proxy::headers::HostRule,
};
use toml::Spanned;

use super::chain::Chain;
use crate::{
    client::client_address,
    config::{HeadersTable, Placed, SecurityTable, Tables, WordOrOff},
    context::Context,
    source::{ConfigError, Source},
};

/// Adds the changes of responses of a route, also of those that functions have made.
pub(super) fn add_of_responses(chain: &mut Chain, tables: Tables<'_>, context: Context<'_>) -> Result<(), ConfigError> {
    let mut edits = FieldEdits::new();
    if let Some((table, span)) = tables.security_headers.and_then(Placed::table) {
        edits = security(table).map_err(|error| context.source.caused(span, &error))?;
    }
    if let Some((table, _)) = tables.response_headers.and_then(Placed::table) {
        check_known(table, context.source)?;
        edits = edits.and(self::edits(table, context.source)?);
    }
    if !edits.is_empty() {
        let layer = layer().response(edits);
        chain.add(|functions| functions.client_fields(layer));
    }
    Ok(())
}

/// Adds the changes of requests of a route.
pub(super) fn add_of_requests(chain: &mut Chain, tables: Tables<'_>, context: Context<'_>) -> Result<(), ConfigError> {
    if let Some((table, _)) = tables.request_headers.and_then(Placed::table) {
        let layer = layer().request(edits(table, context.source)?);
        chain.add(|functions| functions.backend_fields(layer));
    }
    Ok(())
}

fn layer() -> FieldsLayer {
    FieldsLayer::new().client_address(ClientAddress::connection().peer(client_address))
}

/// Refuses values that are not known where responses are changed, outside of the authentication.
fn check_known(table: &HeadersTable, source: &Source) -> Result<(), ConfigError> {
    if let Some(host) = &table.host {
        return Err(source.error(host.span(), "responses have no Host: write this in request_headers"));
    }
    let HeadersTable { set, set_if_absent, append, .. } = table;
    let of_identity = |value: &&Spanned<String>| {
        let text = value.get_ref().replace("{{", "");
        text.contains("{identity}") || text.contains("{attribute:")
    };
    match [set, set_if_absent, append].into_iter().flat_map(|changes| changes.values()).find(of_identity) {
        None => Ok(()),
        Some(value) => {
            let message = "{identity} and {attribute:NAME} are not known in changes of responses: leave them out";
            Err(source.error(value.span(), message))
        }
    }
}

fn edits(table: &HeadersTable, source: &Source) -> Result<FieldEdits, ConfigError> {
    let HeadersTable { remove_prefix, remove, rename, host, set, set_if_absent, append } = table;
    for (name, value) in [set, set_if_absent, append].into_iter().flatten() {
        if name.eq_ignore_ascii_case("host") {
            let message = "Host has a key of its own: write host = \"backend.test\" beside set";
            return Err(source.error(value.span(), message));
        }
    }
    let mut edits = FieldEdits::new();
    let wrong = |value: &Spanned<String>| {
        let span = value.span();
        move |error: InvalidEdit| source.caused(span, &error)
    };
    for prefix in remove_prefix {
        edits = edits.remove_prefix(prefix.get_ref()).map_err(wrong(prefix))?;
    }
    for name in remove {
        edits = edits.remove(name.get_ref()).map_err(wrong(name))?;
    }
    for (from, to) in rename {
        edits = edits.rename(from, to.get_ref()).map_err(wrong(to))?;
    }
    if let Some(host) = host {
        let message = "is no host: write a name with or without a port, such as \"backend.test:8080\"";
        let wrong = |_| source.error(host.span(), format_args!("{:?} {message}", host.get_ref()));
        edits = edits.host(HostRule::set(host.get_ref()).map_err(wrong)?);
    }
    for (name, value) in set {
        edits = edits.set(name, value.get_ref()).map_err(wrong(value))?;
    }
    for (name, value) in set_if_absent {
        edits = edits.set_if_absent(name, value.get_ref()).map_err(wrong(value))?;
    }
    for (name, value) in append {
        edits = edits.append(name, value.get_ref()).map_err(wrong(value))?;
    }
    Ok(edits)
}

fn security(table: &SecurityTable) -> Result<FieldEdits, InvalidEdit> {
    let SecurityTable { hsts, frame_options, referrer_policy, content_security_policy } = table;
    let mut fields = SecurityFields::new();
    if let Some(hsts) = hsts {
        fields = fields.hsts(hsts.max_age, hsts.subdomains);
    }
    match frame_options {
        None | Some(WordOrOff::Off(true)) => {}
        Some(WordOrOff::Off(false)) => fields = fields.frame_options(None),
        Some(WordOrOff::Word(value)) => fields = fields.frame_options(Some(value)),
    }
    match referrer_policy {
        None | Some(WordOrOff::Off(true)) => {}
        Some(WordOrOff::Off(false)) => fields = fields.referrer_policy(None),
        Some(WordOrOff::Word(value)) => fields = fields.referrer_policy(Some(value)),
    }
    if let Some(policy) = content_security_policy {
        fields = fields.content_security_policy(policy);
    }
    fields.edits()
}
