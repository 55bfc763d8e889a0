//! What the proxies of one run share.

use std::net::SocketAddr;

use crate::{
    backend::RawBackends,
    certificate::Certificate,
    process::HttpBackends,
    workload::{Protocol, Workload},
};

pub(crate) struct Setup {
    http: HttpBackends,
    raw: RawBackends,
    pub(crate) certificate: Certificate,
}

impl Setup {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self { http: HttpBackends::start()?, raw: RawBackends::start(3)?, certificate: Certificate::generate()? })
    }

    /// Returns the addresses of the three backends for a workload.
    pub(crate) fn backends(&self, workload: Workload) -> &[SocketAddr] {
        match workload.protocol() {
            Protocol::Http | Protocol::Https => self.http.addresses(workload.to_http2()),
            Protocol::Tcp if workload == Workload::TcpBulk => &self.raw.bulk,
            Protocol::Tcp | Protocol::Udp => &self.raw.echo,
        }
    }
}
