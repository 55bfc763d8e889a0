//! What is measured.

use clap::ValueEnum;

use crate::{function::Function, load::Load};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// 1 connection, 16-byte responses.
    C1,
    /// 32 connections, 16-byte responses.
    C32,
    /// 256 connections, 16-byte responses.
    C256,
    /// 32 connections, 16 KiB responses.
    #[value(name = "16k")]
    Medium,
    /// 8 connections, 1 MiB responses.
    #[value(name = "1m")]
    Large,
    /// 32 connections, POST requests with 4 KiB.
    Post,
    /// HTTP/2 from clients, HTTP/1.1 to backends.
    H2ToH1,
    /// HTTP/2 on both sides.
    H2ToH2,
    /// 32 connections, 16-byte responses of the cache.
    Cache,
    /// 32 connections, 16 KiB responses of the cache.
    #[value(name = "cache-16k")]
    CacheMedium,
    /// 32 connections, 16 KiB responses, compressed with gzip.
    Gzip,
    /// 32 connections, 16-byte responses, a rate limit by client address that is never reached.
    RateLimit,
    /// 32 connections, 16-byte responses, a password.
    BasicAuth,
    /// 32 connections, 16-byte responses, a second request to a backend about each request.
    ExternalAuth,
    /// 32 connections, 16-byte responses, a limit of requests in flight that is never reached.
    InFlight,
    /// 32 connections, 16-byte responses, a list of address ranges.
    Addresses,
    /// 32 connections, 16-byte responses, two fields that are set.
    Fields,
    /// 32 connections, redirects.
    Redirect,
    /// 32 connections, 16 KiB responses, a text that is searched.
    Replace,
    /// Idle connections.
    Idle,
    /// One TCP connection, as many bytes as possible from a backend to the client.
    TcpBulk,
    /// 32 TCP connections, small requests and responses.
    TcpSmall,
    /// TCP connections with one small request and response.
    TcpShort,
    /// 64 clients that send small datagrams and wait for the answers.
    Udp,
    /// Full handshakes of TLS 1.3.
    TlsHandshake,
    /// Idle connections over TLS.
    TlsIdle,
}

/// What the clients of a proxy speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP without TLS.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    Tcp,
    Udp,
}

/// What the CPU time and the rate in a table relate to.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) cpu: &'static str,
    pub(crate) cpu_per: f64,
    pub(crate) cpu_decimals: usize,
    pub(crate) rate: &'static str,
    pub(crate) rate_per: f64,
}

impl Workload {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::C1 => "1 connection, 16-byte responses",
            Self::C32 => "32 connections, 16-byte responses",
            Self::C256 => "256 connections, 16-byte responses",
            Self::Medium => "32 connections, 16 KiB responses",
            Self::Large => "8 connections, 1 MiB responses",
            Self::Post => "32 connections, requests with a body of 4 KiB, 16-byte responses",
            Self::H2ToH1 => {
                "HTTP/2 from clients, HTTP/1.1 to backends: 4 connections with 16 streams, 16-byte responses"
            }
            Self::H2ToH2 => "HTTP/2 on both sides: 4 connections with 16 streams, 16-byte responses",
            Self::Cache => "cache: 32 connections, 16-byte responses",
            Self::CacheMedium => "cache: 32 connections, 16 KiB responses",
            Self::Gzip => "gzip: 32 connections, 16 KiB responses",
            Self::RateLimit => "rate limit: 32 connections, 16-byte responses",
            Self::BasicAuth => "Basic authentication: 32 connections, 16-byte responses",
            Self::ExternalAuth => "external authorization: 32 connections, 16-byte responses",
            Self::InFlight => "limit of requests in flight: 32 connections, 16-byte responses",
            Self::Addresses => "address ranges: 32 connections, 16-byte responses",
            Self::Fields => "fields of responses: 32 connections, 16-byte responses",
            Self::Redirect => "redirects: 32 connections",
            Self::Replace => "texts in bodies: 32 connections, 16 KiB responses",
            Self::Idle => "idle connections",
            Self::TcpBulk => "TCP: 1 connection, bulk",
            Self::TcpSmall => "TCP: 32 connections, requests and responses of 64 bytes",
            Self::TcpShort => "TCP: 32 clients, a connection for each request of 64 bytes",
            Self::Udp => "UDP: 64 clients, datagrams of 64 bytes",
            Self::TlsHandshake => "TLS 1.3: 8 clients, full handshakes",
            Self::TlsIdle => "idle connections over TLS 1.3",
        }
    }

    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::TcpBulk | Self::TcpSmall | Self::TcpShort => Protocol::Tcp,
            Self::Udp => Protocol::Udp,
            Self::TlsHandshake | Self::TlsIdle => Protocol::Https,
            _ => Protocol::Http,
        }
    }

    pub(crate) const fn unit(self) -> Unit {
        let (cpu, cpu_per, cpu_decimals, rate) = match self {
            Self::TcpBulk => ("GB", 1e9, 3, "MB/s"),
            Self::TcpShort => ("100 000 connections", 1e5, 2, "connections/s"),
            Self::Udp => ("100 000 round trips", 1e5, 2, "round trips/s"),
            Self::TlsHandshake => ("1 000 handshakes", 1e3, 3, "handshakes/s"),
            _ => ("100 000 requests", 1e5, 2, "requests/s"),
        };
        Unit { cpu, cpu_per, cpu_decimals, rate, rate_per: if matches!(self, Self::TcpBulk) { 1e6 } else { 1.0 } }
    }

    /// Returns the function of a gateway that is measured.
    pub(crate) const fn function(self) -> Option<Function> {
        Some(match self {
            Self::Cache | Self::CacheMedium => Function::CACHE,
            Self::Gzip => Function::GZIP,
            Self::RateLimit => Function::RATE_LIMIT,
            Self::BasicAuth => Function::BASIC_AUTH,
            Self::ExternalAuth => Function::EXTERNAL_AUTH,
            Self::InFlight => Function::IN_FLIGHT,
            Self::Addresses => Function::ADDRESSES,
            Self::Fields => Function::FIELDS,
            Self::Redirect => Function::REDIRECT,
            Self::Replace => Function::REPLACE,
            _ => return None,
        })
    }

    /// Returns the requests. `None` if the connections are idle.
    pub(crate) const fn load(self) -> Option<Load> {
        let (connections, path) = match self {
            Self::C1 => (1, "small"),
            Self::C32
            | Self::RateLimit
            | Self::BasicAuth
            | Self::ExternalAuth
            | Self::InFlight
            | Self::Addresses
            | Self::Fields
            | Self::Redirect => (32, "small"),
            Self::Cache => (32, "cached/small"),
            Self::CacheMedium => (32, "cached/16k"),
            Self::C256 => (256, "small"),
            Self::Medium | Self::Gzip | Self::Replace => (32, "16k"),
            Self::Large => (8, "1m"),
            Self::Post => {
                return Some(Load::Http1 { connections: 32, path: "small", body: 4096, tls: false, field: None });
            }
            Self::H2ToH1 | Self::H2ToH2 => return Some(Load::Http2 { connections: 4, streams: 16 }),
            Self::TcpBulk => return Some(Load::TcpBulk),
            Self::TcpSmall => return Some(Load::TcpSmall { connections: 32 }),
            Self::TcpShort => return Some(Load::TcpShort { connections: 32 }),
            Self::Udp => return Some(Load::Udp { sockets: 64 }),
            Self::TlsHandshake => return Some(Load::TlsHandshakes { connections: 8 }),
            Self::Idle | Self::TlsIdle => return None,
        };
        let field = match self.function() {
            Some(function) => function.field,
            None => None,
        };
        Some(Load::Http1 { connections, path, body: 0, tls: false, field })
    }

    pub(crate) const fn is_from_http2(self) -> bool {
        matches!(self, Self::H2ToH1 | Self::H2ToH2)
    }

    pub(crate) const fn to_http2(self) -> bool {
        matches!(self, Self::H2ToH2)
    }
}
