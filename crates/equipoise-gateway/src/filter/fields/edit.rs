use equipoise_proxy::{__private::remove_where, headers::HostRule};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::template::{Known, Placeholder, Template};
use crate::framing::is_framing;

/// Changes of header fields, in the order in which they are written.
///
/// Values may have placeholders for parts of the request:
///
/// | placeholder | value |
/// | --- | --- |
/// | `{client_address}` | the address of the client: see [`client_address`] |
/// | `{host}` | the host that the client asked for, without the port |
/// | `{scheme}` | `http` or `https`, as the client used it |
/// | `{method}`, `{path}`, `{query}` | the parts of the request |
/// | `{route}` | the route, if the request has a [`RouteNote`] or the response a [`MatchedRoute`] |
/// | `{request_id}` | the field `X-Request-Id` of the request |
/// | `{identity}` | the name of the [`Identity`](crate::Identity) |
/// | `{attribute:NAME}` | an attribute of the identity |
/// | `{field:NAME}` | the first line of a field of the request, as it came to the layer |
///
/// `{{` and `}}` stand for braces. Values cannot inject lines: control characters, characters outside ASCII and `%` are
/// percent-encoded in names of routes and identities and in attributes. If a request lacks a part, or a value would be
/// invalid, then [`set`](Self::set) removes the field and the other changes do nothing. So a field with `{identity}`
/// never keeps the value that a client has sent.
///
/// Fields that frame a message or belong to one connection (`Content-Length`, `Transfer-Encoding`, `Connection`,
/// `Upgrade` and others) cannot be changed, and `Host` only with [`host`](Self::host).
///
/// [`client_address`]: super::FieldsLayer::client_address
/// [`MatchedRoute`]: equipoise_proxy::route::MatchedRoute
/// [`RouteNote`]: equipoise_proxy::route::RouteNote
///
/// ```
/// use equipoise_gateway::filter::FieldEdits;
///
/// let edits = FieldEdits::new()
///     .remove_prefix("x-internal-")?
///     .set("x-user", "{identity}")?
///     .append("x-seen-by", "gateway for {client_address}")?;
///
/// let error = FieldEdits::new().set("content-length", "0").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "field \"content-length\": this field belongs to the framing of a message or to one connection",
/// );
/// # drop(edits);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    edits: Vec<Edit>,
}

/// Why a field cannot be changed as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field:?}: {valid}")]
#[non_exhaustive]
pub struct InvalidEdit {
    /// The name of the field, as it was written.
    pub field: String,
    /// What is wrong, or what would be valid.
    pub valid: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Edit {
    Set { name: HeaderName, value: Value },
    SetIfAbsent { name: HeaderName, value: Value, only_tls: bool },
    Append { name: HeaderName, value: Value },
    Remove(HeaderName),
    RemovePrefix(Box<str>),
    Rename { from: HeaderName, to: HeaderName },
    Host(HostRule),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Constant(HeaderValue),
    Template(Template),
}

impl Value {
    fn render(&self, known: &Known) -> Option<HeaderValue> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Template(template) => template.render(known),
        }
    }
}

impl FieldEdits {
    /// Creates no change.
    #[must_use]
    pub const fn new() -> Self {
        Self { edits: Vec::new() }
    }

    /// Sets a field to one value. Other lines of the field are removed.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] if the name or the value is invalid.
    pub fn set(self, name: &str, value: &str) -> Result<Self, InvalidEdit> {
        let (field, value) = field_and_value(name, value)?;
        Ok(self.with(Edit::Set { name: field, value }))
    }

    /// Sets a field if the message does not have it.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] if the name or the value is invalid.
    pub fn set_if_absent(self, name: &str, value: &str) -> Result<Self, InvalidEdit> {
        let (field, value) = field_and_value(name, value)?;
        Ok(self.with(Edit::SetIfAbsent { name: field, value, only_tls: false }))
    }

    /// Sets a field if the message does not have it and the client uses TLS.
    pub(super) fn set_over_tls(self, name: HeaderName, value: HeaderValue) -> Self {
        self.with(Edit::SetIfAbsent { name, value: Value::Constant(value), only_tls: true })
    }

    /// Adds a line to a field.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] if the name or the value is invalid.
    pub fn append(self, name: &str, value: &str) -> Result<Self, InvalidEdit> {
        let (field, value) = field_and_value(name, value)?;
        Ok(self.with(Edit::Append { name: field, value }))
    }

    /// Removes all lines of a field.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] if the name is invalid.
    pub fn remove(self, name: &str) -> Result<Self, InvalidEdit> {
        Ok(self.with(Edit::Remove(field(name)?)))
    }

    /// Removes all fields whose names begin with a text, except those that cannot be changed. Upper and lower case are
    /// the same. The text is not empty.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] if no name can begin with the text.
    pub fn remove_prefix(self, prefix: &str) -> Result<Self, InvalidEdit> {
        match prefix.parse::<HeaderName>() {
            Ok(name) => Ok(self.with(Edit::RemovePrefix(name.as_str().into()))),
            Err(_) => {
                Err(InvalidEdit { field: prefix.to_owned(), valid: "write the start of a name, such as x-internal-" })
            }
        }
    }

    /// Renames a field. Lines that already have the new name are removed, also if there are none with the old name.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] if a name is invalid.
    pub fn rename(self, from: &str, to: &str) -> Result<Self, InvalidEdit> {
        let (from, to) = (field(from)?, field(to)?);
        Ok(self.with(Edit::Rename { from, to }))
    }

    /// Sets the `Host` of requests. In the changes of responses, it does nothing.
    #[must_use]
    pub fn host(self, host: HostRule) -> Self {
        self.with(Edit::Host(host))
    }

    /// Adds the changes of `others` after these.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.edits.extend(others.edits);
        self
    }

    /// Returns whether there is no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    fn with(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Returns what the values need of a request.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.edits.iter().flat_map(|edit| {
            let template = match edit {
                Edit::Set { value: Value::Template(template), .. }
                | Edit::SetIfAbsent { value: Value::Template(template), .. }
                | Edit::Append { value: Value::Template(template), .. } => Some(template),
                _ => None,
            };
            template.into_iter().flat_map(Template::placeholders)
        })
    }

    /// Returns the last rule for `Host`.
    pub(super) fn host_rule(&self) -> Option<&HostRule> {
        self.edits.iter().rev().find_map(|edit| match edit {
            Edit::Host(host) => Some(host),
            _ => None,
        })
    }

    /// Changes the fields of a message.
    pub(super) fn apply(&self, headers: &mut HeaderMap, known: &Known) {
        for edit in &self.edits {
            match edit {
                Edit::Set { name, value } => match value.render(known) {
                    Some(value) => drop(headers.insert(name, value)),
                    None => drop(headers.remove(name)),
                },
                Edit::SetIfAbsent { name, value, only_tls } => {
                    if !headers.contains_key(name)
                        && (known.is_tls || !only_tls)
                        && let Some(value) = value.render(known)
                    {
                        headers.insert(name, value);
                    }
                }
                Edit::Append { name, value } => {
                    if let Some(value) = value.render(known) {
                        headers.append(name, value);
                    }
                }
                Edit::Remove(name) => drop(headers.remove(name)),
                Edit::RemovePrefix(prefix) => remove_prefix(headers, prefix),
                Edit::Rename { from, to } => {
                    let values: Vec<HeaderValue> = headers.get_all(from).iter().cloned().collect();
                    headers.remove(from);
                    headers.remove(to);
                    for value in values {
                        headers.append(to, value);
                    }
                }
                Edit::Host(_) => {}
            }
        }
    }
}

fn remove_prefix(headers: &mut HeaderMap, prefix: &str) {
    remove_where(headers, |name| name.as_str().starts_with(prefix) && !is_framing(name));
}

fn field(name: &str) -> Result<HeaderName, InvalidEdit> {
    let refused = |valid| InvalidEdit { field: name.to_owned(), valid };
    let parsed: HeaderName = name.parse().map_err(|_| refused("write the name of a field, such as x-version"))?;
    match parsed.as_str() {
        "host" => Err(refused("set this field with FieldEdits::host")),
        _ if is_framing(&parsed) => Err(refused("this field belongs to the framing of a message or to one connection")),
        _ => Ok(parsed),
    }
}

fn field_and_value(name: &str, value: &str) -> Result<(HeaderName, Value), InvalidEdit> {
    let template = Template::parse(value).map_err(|valid| InvalidEdit { field: name.to_owned(), valid })?;
    let value = template.constant().map_or(Value::Template(template), Value::Constant);
    Ok((field(name)?, value))
}
