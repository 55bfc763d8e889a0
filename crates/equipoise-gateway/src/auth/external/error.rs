use http::{
    HeaderName,
    header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, COOKIE, USER_AGENT},
};

use crate::{auth::fields::is_reserved, framing::is_framing};

/// Why an [`External`](super::External) or a [`DecisionCache`](super::DecisionCache) cannot work with a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidExternal {
    /// The text is neither a path nor a complete URI.
    #[error("{uri:?} is no URI of a service: write a path such as \"/auth\", or \"http://auth.internal/auth\"")]
    Uri {
        /// The text that was refused.
        uri: String,
    },
    /// The field belongs to one connection, to the framing of one body or to the target of one request, so that it
    /// cannot be copied to another message.
    #[error(
        "`{field}` belongs to one message or to one connection, and is never copied to another: leave it out; the service \
         gets the client's `Host` as `X-Forwarded-Host`"
    )]
    #[non_exhaustive]
    Framing {
        /// The name that was refused.
        field: HeaderName,
    },
    /// The field is one in which proxies tell about connections and clients, so that a service cannot set it for the
    /// backend.
    #[error("`{field}` has another meaning for proxies: let the service use a name of its own, such as `X-Auth-Token`")]
    #[non_exhaustive]
    Reserved {
        /// The name that was refused.
        field: HeaderName,
    },
    /// The fields by which the service decides are none that tell clients apart. Everybody would get the decision about
    /// the first client.
    #[error(
        "decisions would be the same for all clients: name the fields with the credentials, such as `Authorization`"
    )]
    NoCredential,
}

/// Returns the fields if all of them can be copied to another message.
pub(super) fn copied(fields: impl IntoIterator<Item = HeaderName>) -> Result<Vec<HeaderName>, InvalidExternal> {
    // The coding is that of the body.
    let is_of_message = |field: &HeaderName| is_framing(field) || *field == CONTENT_ENCODING;
    let check =
        |field: HeaderName| if is_of_message(&field) { Err(InvalidExternal::Framing { field }) } else { Ok(field) };
    fields.into_iter().map(check).collect()
}

/// Returns the fields if a service can set all of them for the backend.
pub(super) fn written(fields: impl IntoIterator<Item = HeaderName>) -> Result<Vec<HeaderName>, InvalidExternal> {
    let fields = copied(fields)?;
    // The service may exchange credentials.
    let is_other = |field: &&HeaderName| is_reserved(field) && **field != AUTHORIZATION && **field != COOKIE;
    match fields.iter().find(is_other) {
        Some(field) => Err(InvalidExternal::Reserved { field: field.clone() }),
        None => Ok(fields),
    }
}

/// Returns the fields if one of them can tell clients apart.
pub(super) fn deciding(fields: impl IntoIterator<Item = HeaderName>) -> Result<Vec<HeaderName>, InvalidExternal> {
    let fields = copied(fields)?;
    let is_common = |field: &HeaderName| {
        [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, USER_AGENT].contains(field) || *field == "x-request-id"
    };
    if fields.iter().all(is_common) { Err(InvalidExternal::NoCredential) } else { Ok(fields) }
}
