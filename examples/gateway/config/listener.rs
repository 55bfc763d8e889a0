//! The tables of listeners. Their mode decides which keys they have.

use std::{fmt, net::SocketAddr};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Visitor, value},
    forward_to_deserialize_any,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    forward::{ForwardLimitsTable, ForwardListener, ForwardTimeouts, RuleTable},
    http::{HttpListener, Limits, ProxyTimeouts, RouteTable},
    layer4::{
        ConnectionLimits, SniListener, SniRoute, SniTimeouts, TcpListener, TcpTimeouts, UdpLimitsTable, UdpListener,
        UdpTimeouts,
    },
};
use crate::source::{ConfigError, Source};

/// What a listener does with its connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Each request goes to an endpoint.
    #[default]
    Http,
    /// Each connection goes to an endpoint.
    Tcp,
    /// Each client of UDP goes to an endpoint.
    Udp,
    /// Clients ask for a destination.
    Forward,
    /// The name in a TLS handshake, which is not decrypted, decides the pool.
    Sni,
}

impl Mode {
    const ALL: [Self; 5] = [Self::Http, Self::Tcp, Self::Udp, Self::Forward, Self::Sni];

    /// Returns the name in the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Forward => "forward",
            Self::Sni => "sni",
        }
    }

    /// Returns the keys of a listener, or of a table in it.
    fn keys(self, table: &str) -> &'static [&'static str] {
        match (self, table) {
            (Self::Http, "listener") => keys::<HttpListener>(),
            (Self::Http, "limits") => keys::<Limits>(),
            (Self::Http, "timeouts") => keys::<ProxyTimeouts>(),
            (Self::Http, "route") => keys::<RouteTable>(),
            (Self::Tcp, "listener") => keys::<TcpListener>(),
            (Self::Tcp | Self::Sni, "limits") => keys::<ConnectionLimits>(),
            (Self::Tcp, "timeouts") => keys::<TcpTimeouts>(),
            (Self::Udp, "listener") => keys::<UdpListener>(),
            (Self::Udp, "limits") => keys::<UdpLimitsTable>(),
            (Self::Udp, "timeouts") => keys::<UdpTimeouts>(),
            (Self::Forward, "listener") => keys::<ForwardListener>(),
            (Self::Forward, "limits") => keys::<ForwardLimitsTable>(),
            (Self::Forward, "timeouts") => keys::<ForwardTimeouts>(),
            (Self::Forward, "rule") => keys::<RuleTable>(),
            (Self::Sni, "listener") => keys::<SniListener>(),
            (Self::Sni, "timeouts") => keys::<SniTimeouts>(),
            (Self::Sni, "route") => keys::<SniRoute>(),
            _ => &[],
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode = {:?}", self.name())
    }
}

/// The mode of a listener, whose other keys are read later.
#[derive(Deserialize)]
#[serde(default, expecting = "a table with the keys bind and pool")]
#[derive(Default)]
pub(super) struct ModeOnly {
    mode: Mode,
}

/// The table of a listener.
pub(crate) enum Listener {
    Http(Box<HttpListener>),
    Tcp(TcpListener),
    Udp(UdpListener),
    Forward(Box<ForwardListener>),
    Sni(SniListener),
}

impl Listener {
    /// Reads the listeners with these modes.
    pub(super) fn read_all(modes: &[ModeOnly], source: &Source) -> Result<Vec<Self>, ConfigError> {
        let mut file = DeTable::parse(&source.text).map_err(|error| source.wrong(&error))?;
        let listeners = match file.get_mut().remove("listener").map(Spanned::into_inner) {
            Some(DeValue::Array(listeners)) => listeners,
            _ => return Ok(Vec::new()),
        };
        listeners.into_iter().zip(modes).map(|(table, mode)| Self::read(table, mode.mode, source)).collect()
    }

    fn read(table: Spanned<DeValue<'_>>, mode: Mode, source: &Source) -> Result<Self, ConfigError> {
        if let DeValue::Table(keys) = table.get_ref() {
            check_keys(keys, "listener", mode, source)?;
        }
        let table = ValueDeserializer::from(table);
        let read = match mode {
            Mode::Http => Box::<HttpListener>::deserialize(table).map(Self::Http),
            Mode::Tcp => TcpListener::deserialize(table).map(Self::Tcp),
            Mode::Udp => UdpListener::deserialize(table).map(Self::Udp),
            Mode::Forward => Box::<ForwardListener>::deserialize(table).map(Self::Forward),
            Mode::Sni => SniListener::deserialize(table).map(Self::Sni),
        };
        read.map_err(|error| source.wrong(&error))
    }

    pub(crate) const fn bind(&self) -> &Spanned<SocketAddr> {
        match self {
            Self::Http(listener) => &listener.bind,
            Self::Tcp(listener) => &listener.bind,
            Self::Udp(listener) => &listener.bind,
            Self::Forward(listener) => &listener.bind,
            Self::Sni(listener) => &listener.bind,
        }
    }

    /// Returns whether the listener gets datagrams, and not connections.
    pub(crate) const fn is_udp(&self) -> bool {
        matches!(self, Self::Udp(_))
    }
}

/// Refuses the keys that only listeners with another mode have. Unknown keys are refused when the table is read.
fn check_keys(table: &DeTable<'_>, name: &str, mode: Mode, source: &Source) -> Result<(), ConfigError> {
    for (key, value) in table {
        let text = &**key.get_ref();
        let others: Vec<_> = Mode::ALL.into_iter().filter(|other| other.keys(name).contains(&text)).collect();
        if !others.is_empty() && !others.contains(&mode) {
            let others = alternatives(&others);
            let message =
                format!("{text} belongs to a listener with mode = {others}, and this one has {mode}: leave it out");
            return Err(source.error(key.span(), message));
        }
        if name == "route" && mode == Mode::Http && matches!(text, "request_id" | "paths") {
            let message = "belongs to the listener, because it runs before a route is looked for: write it there";
            return Err(source.error(key.span(), format_args!("{text} {message}")));
        }
        if name != "listener" {
            continue;
        }
        match value.get_ref() {
            DeValue::Table(table) => check_keys(table, text, mode, source)?,
            DeValue::Array(values) => {
                for value in values.iter() {
                    if let DeValue::Table(table) = value.get_ref() {
                        check_keys(table, text, mode, source)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the names of modes, such as `"http", "tcp" or "sni"`.
fn alternatives(modes: &[Mode]) -> String {
    let names: Vec<_> = modes.iter().map(|mode| format!("{:?}", mode.name())).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// Returns the keys of a table.
fn keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    // It reads no value, so it returns an error.
    let _ = T::deserialize(Keys(&mut keys));
    keys
}

/// Takes the names of the fields that a struct asks for.
struct Keys<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(value::Error::custom("only the names of fields are wanted"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
