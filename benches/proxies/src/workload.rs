//! What is measured.

use clap::ValueEnum;

use crate::load::Load;

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
    /// Idle connections.
    Idle,
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
            Self::Idle => "idle connections",
        }
    }

    /// Returns the requests. `None` if the connections are idle.
    pub(crate) const fn load(self) -> Option<Load> {
        let (connections, path) = match self {
            Self::C1 => (1, "small"),
            Self::C32 => (32, "small"),
            Self::C256 => (256, "small"),
            Self::Medium => (32, "16k"),
            Self::Large => (8, "1m"),
            Self::Post => return Some(Load::Http1 { connections: 32, path: "small", body: 4096 }),
            Self::H2ToH1 | Self::H2ToH2 => return Some(Load::Http2 { connections: 4, streams: 16 }),
            Self::Idle => return None,
        };
        Some(Load::Http1 { connections, path, body: 0 })
    }

    pub(crate) const fn from_http2(self) -> bool {
        matches!(self, Self::H2ToH1 | Self::H2ToH2)
    }

    pub(crate) const fn to_http2(self) -> bool {
        matches!(self, Self::H2ToH2)
    }
}
