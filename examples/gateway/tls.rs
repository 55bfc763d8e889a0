//! TLS towards clients: the certificates of a listener, whose files each reload reads again.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use equipoise::proxy::tls::{Certificate, ClientAuth, InvalidTls, TicketSecret, TlsAcceptor, TlsSettings, TlsVersion};
use toml::Spanned;

use crate::{
    config::{CertificateTable, ClientAuthKind, ListenerTls, MinVersion, Mode},
    source::{ConfigError, Source, causes},
};

/// Settings that can be used.
pub(crate) struct CheckedTls(TlsSettings);

impl CheckedTls {
    /// Reads the certificates of a listener.
    pub(crate) fn read(
        table: Option<&Spanned<ListenerTls>>,
        mode: Mode,
        source: &Source,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(table) = table else { return Ok(None) };
        let ListenerTls(tables) = table.get_ref();
        let Some((first, others)) = tables.split_first() else {
            let message = "tls needs a certificate: write { certificate = \"app.pem\", key = \"app.key\" }";
            return Err(source.error(table.span(), message));
        };
        let mut settings = TlsSettings::new(certificate(first, source)?);
        for other in others {
            check_other(other, source)?;
            settings = settings.certificate(certificate(other, source)?);
        }
        let settings = of_listener(settings, first, mode, source)?;
        // It also finds out whether each key is that of its certificate.
        let checked = TlsAcceptor::check(&settings);
        checked.map_err(|error| source.caused(place(&error, tables).unwrap_or(table.span()), &error))?;
        Ok(Some(Self(settings)))
    }

    /// Creates what makes the handshakes of a new listener. It warns of certificates that expire soon.
    pub(crate) fn start(&self) -> Result<TlsAcceptor, InvalidTls> {
        TlsAcceptor::new(&self.0)
    }

    /// Gives a running acceptor these settings, for later handshakes.
    pub(crate) fn replace(self, running: &TlsAcceptor) {
        // They were checked.
        if let Err(error) = running.replace(&self.0) {
            tracing::error!("the certificates stay: {}", causes(&error));
        }
    }
}

/// Reads one certificate with its key.
fn certificate(table: &CertificateTable, source: &Source) -> Result<Certificate, ConfigError> {
    let path = |file: &Path| source.path(file);
    let (chain, key) = (&table.certificate, &table.key);
    let mut certificate = Certificate::from_files(path(chain.get_ref()), path(key.get_ref())).map_err(|error| {
        let span = if error_is_about(&error, &path(key.get_ref())) { key.span() } else { chain.span() };
        source.caused(span, &error)
    })?;
    if let Some(names) = &table.names {
        certificate = certificate.names(names.get_ref().iter().cloned());
    }
    if let Some(file) = &table.ocsp {
        certificate =
            certificate.ocsp_file(path(file.get_ref())).map_err(|error| source.caused(file.span(), &error))?;
    }
    let Some(file) = &table.client_ca else {
        let needless = [table.client_auth.as_ref().map(|auth| ("client_auth", auth.span()))];
        let needless = needless.into_iter().chain([table.client_crl.as_ref().map(|crl| ("client_crl", crl.span()))]);
        return match needless.flatten().next() {
            Some((key, span)) => Err(source.error(span, format_args!("{key} has no effect without client_ca"))),
            None => Ok(certificate),
        };
    };
    let mut auth = ClientAuth::from_file(path(file.get_ref())).map_err(|error| source.caused(file.span(), &error))?;
    if table.client_auth.as_ref().is_some_and(|auth| *auth.get_ref() == ClientAuthKind::Optional) {
        auth = auth.optional();
    }
    if let Some(file) = &table.client_crl {
        let pem = read(file, source)?;
        auth = auth.revocation_lists(pem).map_err(|error| source.caused(file.span(), &error))?;
    }
    Ok(certificate.client_auth(auth))
}

/// Adds the settings that all certificates of a listener share.
fn of_listener(
    mut settings: TlsSettings,
    table: &CertificateTable,
    mode: Mode,
    source: &Source,
) -> Result<TlsSettings, ConfigError> {
    match (&table.alpn, mode) {
        (Some(alpn), Mode::Tcp) => settings = settings.alpn(alpn.get_ref().iter().map(String::as_str)),
        (None, Mode::Tcp) => settings = settings.without_alpn(),
        (Some(alpn), _) => {
            let message = format!("alpn belongs to a listener with {}: leave it out, HTTP has its own", Mode::Tcp);
            return Err(source.error(alpn.span(), message));
        }
        (None, _) => {}
    }
    if let Some(version) = &table.min_version {
        settings = settings.min_version(match version.get_ref() {
            MinVersion::Tls12 => TlsVersion::Tls12,
            MinVersion::Tls13 => TlsVersion::Tls13,
        });
    }
    if let Some(file) = &table.ticket_secret_file {
        let text = read(file, source)?;
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let secrets = lines.map(TicketSecret::new).collect::<Result<Vec<_>, _>>();
        let secrets = secrets.map_err(|error| source.caused(file.span(), &error))?;
        if secrets.is_empty() {
            let message = "there is no secret: write one, for example with `openssl rand -hex 32`";
            return Err(source.error(file.span(), format_args!("{}: {message}", file.get_ref().display())));
        }
        settings = settings.ticket_secrets(secrets);
    }
    if let Some(strict) = &table.strict_names {
        settings = settings.strict_sni(*strict.get_ref());
    }
    if let Some(timeout) = &table.handshake_timeout {
        settings = settings.handshake_timeout(*timeout.get_ref());
    }
    if let Some(max) = &table.max_handshakes {
        settings = settings.max_handshakes(*max.get_ref());
    }
    Ok(settings)
}

/// Refuses the settings of a listener in any table but the first.
fn check_other(table: &CertificateTable, source: &Source) -> Result<(), ConfigError> {
    let CertificateTable { alpn, min_version, ticket_secret_file, strict_names, handshake_timeout, .. } = table;
    let found = [
        alpn.as_ref().map(|value| ("alpn", value.span())),
        min_version.as_ref().map(|value| ("min_version", value.span())),
        ticket_secret_file.as_ref().map(|value| ("ticket_secret_file", value.span())),
        strict_names.as_ref().map(|value| ("strict_names", value.span())),
        handshake_timeout.as_ref().map(|value| ("handshake_timeout", value.span())),
        table.max_handshakes.as_ref().map(|value| ("max_handshakes", value.span())),
    ];
    match found.into_iter().flatten().next() {
        None => Ok(()),
        Some((key, span)) => {
            let message = format!("{key} is a setting of all certificates of the listener: write it in the first one");
            Err(source.error(span, message))
        }
    }
}

fn read(file: &Spanned<PathBuf>, source: &Source) -> Result<Vec<u8>, ConfigError> {
    let failed = |error| format!("{}: {}", file.get_ref().display(), causes(&error));
    fs::read(source.path(file.get_ref())).map_err(|error| source.error(file.span(), failed(error)))
}

/// Returns whether an error of a certificate with its key is about the file with the key.
fn error_is_about(error: &InvalidTls, key: &Path) -> bool {
    match error {
        InvalidTls::Unreadable { path, .. } => path == key,
        InvalidTls::Pem { what, .. } | InvalidTls::Empty { what, .. } => *what == key.display().to_string(),
        _ => false,
    }
}

/// Returns the place of what the settings have refused.
fn place(error: &InvalidTls, tables: &[CertificateTable]) -> Option<Range<usize>> {
    let ends = |file: &Spanned<PathBuf>, what: &str| Path::new(what).ends_with(file.get_ref());
    match error {
        InvalidTls::KeyMismatch { key, .. } | InvalidTls::Key { what: key, .. } => {
            tables.iter().find(|table| ends(&table.key, key)).map(|table| table.key.span())
        }
        InvalidTls::Name { certificate, .. } => {
            let table = tables.iter().find(|table| ends(&table.certificate, certificate))?;
            Some(table.names.as_ref().map_or(table.certificate.span(), Spanned::span))
        }
        InvalidTls::NoName { certificate } | InvalidTls::Certificate { what: certificate, .. } => {
            tables.iter().find(|table| ends(&table.certificate, certificate)).map(|table| table.certificate.span())
        }
        _ => None,
    }
}
