use std::{net::IpAddr, sync::Arc};

use equipoise_affinity::source::ClientAddress;
use equipoise_proxy::{
    __private::{asked_for, client_scheme},
    route::RouteNote,
};
use equipoise_tower::RequestHead;
use http::{HeaderName, HeaderValue, Request};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::Identity;

/// What is encoded in a value that is any text. With `%` encoded too, no two texts have the same encoding.
const NOT_IN_TEXT: &AsciiSet = &CONTROLS.add(b'%');

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The value of a field: text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Value(Placeholder),
}

/// A part of a request that a field gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    ClientAddress,
    Host,
    Scheme,
    Method,
    Path,
    Query,
    Route,
    RequestId,
    Identity,
    Attribute(Box<str>),
    Field(HeaderName),
}

impl Template {
    /// Parses a text. `{{` and `}}` stand for braces.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let after = rest.get(character.len_utf8()..).unwrap_or_default();
            rest = match character {
                '{' | '}' if after.starts_with(character) => {
                    literal.push(character);
                    after.get(1..).unwrap_or_default()
                }
                '{' => {
                    let (name, after) = after.split_once('}').ok_or("write {{ for a brace")?;
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
                    }
                    pieces.push(Piece::Value(Placeholder::parse(name)?));
                    after
                }
                '}' => return Err("write }} for a brace"),
                ' '..='~' | '\t' => {
                    literal.push(character);
                    after
                }
                _ => return Err("a value consists of visible ASCII characters, spaces and tabs"),
            };
        }
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Ok(Self(pieces.into()))
    }

    /// Returns the value if it has no placeholder.
    pub(super) fn constant(&self) -> Option<HeaderValue> {
        match &*self.0 {
            [Piece::Text(text)] => HeaderValue::from_str(text).ok(),
            _ => None,
        }
    }

    /// Returns the parts of the request that the value needs.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Value(placeholder) => Some(placeholder),
        })
    }

    /// Returns the value. `None` if the request lacks a part that it needs, or if the value would be invalid.
    pub(super) fn render(&self, known: &Known) -> Option<HeaderValue> {
        let mut bytes = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Piece::Value(placeholder) => bytes.extend_from_slice(&known.get(placeholder)?),
            }
        }
        // Refuses CR, LF and NUL.
        HeaderValue::from_bytes(&bytes).ok()
    }
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, &'static str> {
        Ok(match name {
            "client_address" => Self::ClientAddress,
            "host" => Self::Host,
            "scheme" => Self::Scheme,
            "method" => Self::Method,
            "path" => Self::Path,
            "query" => Self::Query,
            "route" => Self::Route,
            "request_id" => Self::RequestId,
            "identity" => Self::Identity,
            _ => match name.split_once(':') {
                Some(("attribute", name)) if !name.is_empty() => Self::Attribute(name.into()),
                Some(("field", name)) => Self::Field(name.parse().map_err(|_| "write {field:x-version}")?),
                _ => {
                    return Err("the placeholders are {client_address}, {host}, {scheme}, {method}, {path}, {query}, \
                                {route}, {request_id}, {identity}, {attribute:NAME} and {field:NAME}");
                }
            },
        })
    }

    fn of<B>(&self, request: &Request<B>, client: &ClientAddress) -> Option<Vec<u8>> {
        let encoded = |text: &str| utf8_percent_encode(text, NOT_IN_TEXT).to_string().into_bytes();
        let identity = || request.extensions().get::<Identity>();
        Some(match self {
            Self::ClientAddress => client.of(RequestHead::of(request)).as_ref().map(IpAddr::to_string)?.into_bytes(),
            Self::Host => asked_for(RequestHead::of(request))?.as_bytes().to_vec(),
            Self::Scheme => client_scheme(request.extensions()).as_bytes().to_vec(),
            Self::Method => request.method().as_str().as_bytes().to_vec(),
            Self::Path => request.uri().path().as_bytes().to_vec(),
            Self::Query => request.uri().query()?.as_bytes().to_vec(),
            Self::Route => encoded(request.extensions().get::<RouteNote>()?.name()?),
            Self::RequestId => request.headers().get(X_REQUEST_ID)?.as_bytes().to_vec(),
            Self::Identity => encoded(identity()?.name()),
            Self::Attribute(name) => encoded(identity()?.get(name)?),
            Self::Field(name) => request.headers().get(name)?.as_bytes().to_vec(),
        })
    }
}

/// The parts of a request that the values of fields need.
#[derive(Debug, Default)]
pub(super) struct Known {
    values: Vec<(Placeholder, Option<Vec<u8>>)>,
    /// Names the route when the response is there.
    note: Option<RouteNote>,
    route: Option<Arc<str>>,
    pub(super) is_tls: bool,
}

impl Known {
    /// Reads the parts of a request that some placeholders stand for.
    pub(super) fn of<'p, B>(
        request: &Request<B>,
        needed: impl IntoIterator<Item = &'p Placeholder>,
        client: &ClientAddress,
    ) -> Self {
        let mut known = Self {
            note: request.extensions().get().cloned(),
            is_tls: client_scheme(request.extensions()) == "https",
            ..Self::default()
        };
        for placeholder in needed {
            if !known.values.iter().any(|(read, _)| read == placeholder) {
                known.values.push((placeholder.clone(), placeholder.of(request, client)));
            }
        }
        known
    }

    /// Sets the route that the response names.
    pub(super) fn set_route(&mut self, route: Option<Arc<str>>) {
        self.route = route;
    }

    fn get(&self, wanted: &Placeholder) -> Option<Vec<u8>> {
        if *wanted == Placeholder::Route
            && let Some(name) = self.route.as_deref().or_else(|| self.note.as_ref()?.name())
        {
            return Some(utf8_percent_encode(name, NOT_IN_TEXT).to_string().into_bytes());
        }
        self.values.iter().find(|(read, _)| read == wanted)?.1.clone()
    }
}
