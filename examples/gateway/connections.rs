//! How a pool connects to its endpoints: the version of HTTP and TLS, for requests and for health checks.

use std::{error::Error, fs, path::PathBuf, sync::Arc, time::Duration};

use equipoise::{
    EndpointSpec, InvalidAddress, Upstream,
    health::probe::{HttpProbe, HttpVersion, TlsProbe},
    http::{Settings, Tls, Version},
    proxy::proxy_protocol::{Version as ProxyVersion, request_header},
};
use toml::Spanned;

use crate::{
    config::{PoolTable, Protocol, TlsTable},
    source::{ConfigError, Source, causes},
};

#[derive(Clone)]
pub(crate) struct Connections {
    protocol: Protocol,
    connect_timeout: Duration,
    proxy_protocol: Option<ProxyVersion>,
    /// The files, and what was read from them.
    tls: Option<(Files, Tls)>,
    settings: Settings,
    probe: Option<TlsProbe>,
}

/// The table `tls` with the content of its files, which a reload reads again.
#[derive(Clone, PartialEq)]
struct Files {
    ca: Option<Vec<u8>>,
    /// The certificate of the gateway and its key.
    certificate: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
}

/// Connections are equal if endpoints need no new ones.
impl PartialEq for Connections {
    fn eq(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.connect_timeout == other.connect_timeout
            && self.proxy_protocol == other.proxy_protocol
            && self.files() == other.files()
    }
}

impl Connections {
    pub(crate) fn new(table: &PoolTable, source: &Source) -> Result<Self, ConfigError> {
        let (protocol, connect_timeout) = (table.protocol, table.timeouts.connect);
        let proxy_protocol = table.proxy_version();
        let mut settings = Settings::new().connect_timeout(connect_timeout).version(match protocol {
            Protocol::Auto => Version::Auto,
            Protocol::Http1 => Version::Http1,
            Protocol::Http2 => Version::Http2,
        });
        if let Some(version) = proxy_protocol {
            settings = settings.proxy_protocol(version, request_header);
        }
        let Some(tls) = &table.tls else {
            return Ok(Self { protocol, connect_timeout, proxy_protocol, tls: None, settings, probe: None });
        };
        for endpoint in table.endpoints.get_ref() {
            let address = &endpoint.get_ref().address;
            if !address.get_ref().to_ascii_lowercase().starts_with("https://") {
                let message = "the pool has tls, so all of its addresses must begin with https://";
                return Err(source.error(address.span(), format_args!("{:?}: {message}", address.get_ref())));
            }
        }
        let files = Files::read(tls.get_ref(), source)?;
        let caused = |error: &dyn Error| source.caused(tls.span(), error);
        let mut tls = match &files.ca {
            Some(pem) => Tls::with_roots(pem).map_err(|error| caused(&error))?,
            None => Tls::new(),
        };
        if let Some((chain, key)) = &files.certificate {
            tls = tls.client_certificate(chain, key).map_err(|error| caused(&error))?;
        }
        let mut probe = TlsProbe::with_config(Arc::clone(tls.config()));
        if let Some(name) = &files.server_name {
            tls = tls.server_name(name).map_err(|error| caused(&error))?;
            probe = probe.server_name(name).map_err(|error| caused(&error))?;
        }
        let (settings, tls) = (settings.tls(tls.clone()), Some((files, tls)));
        Ok(Self { protocol, connect_timeout, proxy_protocol, tls, settings, probe: Some(probe) })
    }

    fn files(&self) -> Option<&Files> {
        self.tls.as_ref().map(|(files, _)| files)
    }

    /// Returns the TLS of the pool, for connections that are passed on.
    pub(crate) fn tls(&self) -> Option<Tls> {
        self.tls.as_ref().map(|(_, tls)| tls.clone())
    }

    /// Creates the connections to one endpoint.
    pub(crate) fn upstream(&self, endpoint: &EndpointSpec) -> Result<Upstream, InvalidAddress> {
        Upstream::with_settings(endpoint.address(), &self.settings)
    }

    /// Lets a health check connect as requests do.
    pub(crate) fn probe(&self, probe: HttpProbe) -> HttpProbe {
        let probe = probe.version(match self.protocol {
            Protocol::Auto => HttpVersion::Negotiated,
            Protocol::Http1 => HttpVersion::Http1,
            Protocol::Http2 => HttpVersion::Http2,
        });
        match &self.probe {
            Some(tls) => probe.tls(tls.clone()),
            None => probe,
        }
    }
}

impl Files {
    fn read(tls: &TlsTable, source: &Source) -> Result<Self, ConfigError> {
        let read = |file: &Spanned<PathBuf>| {
            let failed = |error| format!("{}: {}", file.get_ref().display(), causes(&error));
            fs::read(source.path(file.get_ref())).map_err(|error| source.error(file.span(), failed(error)))
        };
        let certificate = match (&tls.certificate_file, &tls.key_file) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            (None, None) => None,
            (Some(file), None) => return Err(source.error(file.span(), "certificate_file needs key_file")),
            (None, Some(file)) => return Err(source.error(file.span(), "key_file needs certificate_file")),
        };
        Ok(Self {
            ca: tls.ca_file.as_ref().map(read).transpose()?,
            certificate,
            server_name: tls.server_name.as_ref().map(|name| name.get_ref().clone()),
        })
    }
}
