//! The tables of TLS towards clients.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};
use toml::Spanned;

use super::values::some_timeout;

/// The certificates of a listener. The first one is that of clients that ask for no name of another one.
pub(crate) struct ListenerTls(pub(crate) Vec<CertificateTable>);

impl<'de> Deserialize<'de> for ListenerTls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;

        impl<'de> Visitor<'de> for OneOrList {
            type Value = ListenerTls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table such as { certificate = \"app.pem\", key = \"app.key\" }, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenerTls, A::Error> {
                let one = CertificateTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ListenerTls(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ListenerTls, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(ListenerTls)
            }
        }

        deserializer.deserialize_any(OneOrList)
    }
}

/// One certificate, and in the first table the settings of the listener.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateTable {
    pub(crate) certificate: Spanned<PathBuf>,
    pub(crate) key: Spanned<PathBuf>,
    /// Default: the names in the certificate.
    pub(crate) names: Option<Spanned<Vec<String>>>,
    /// A stapled OCSP response in DER.
    pub(crate) ocsp: Option<Spanned<PathBuf>>,
    /// The authorities of clients' certificates.
    pub(crate) client_ca: Option<Spanned<PathBuf>>,
    pub(crate) client_crl: Option<Spanned<PathBuf>>,
    pub(crate) client_auth: Option<Spanned<ClientAuthKind>>,
    pub(crate) alpn: Option<Spanned<Vec<String>>>,
    pub(crate) min_version: Option<Spanned<MinVersion>>,
    pub(crate) ticket_secret_file: Option<Spanned<PathBuf>>,
    pub(crate) strict_names: Option<Spanned<bool>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) handshake_timeout: Option<Spanned<Duration>>,
    pub(crate) max_handshakes: Option<Spanned<usize>>,
}

/// Whether clients must have a certificate.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientAuthKind {
    Required,
    Optional,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
pub(crate) enum MinVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}
