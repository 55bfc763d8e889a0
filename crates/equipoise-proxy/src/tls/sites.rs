use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rustls::{
    CipherSuite, ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use super::{
    certificate::Certificate,
    client_auth::ClientAuth,
    error::InvalidTls,
    settings::{Source, TlsSettings},
    status::CertificateStatus,
    tickets::Tickets,
};

/// The policy of a site that asks clients for no certificate.
const NO_CLIENT_AUTH: [u8; 32] = [0; 32];

/// What a server serves: a site for each name.
#[derive(Debug)]
pub(super) struct Sites {
    all: Vec<Site>,
    names: Names,
    /// The site of all other names, and of clients that name none.
    default: Option<usize>,
    check_authority: bool,
    pub(super) certificates: Vec<CertificateStatus>,
    /// Those of all sites that ask clients for no certificate. `None` if no sessions are resumed.
    tickets: Option<Arc<Tickets>>,
}

/// Certificates, and the policy for those of clients. Names with the same ones share a site.
#[derive(Debug)]
struct Site {
    config: Arc<ServerConfig>,
    /// The same for clients that prefer ChaCha20, because they have no instructions for AES.
    without_aes: Arc<ServerConfig>,
    policy: [u8; 32],
}

/// The site of a connection.
#[derive(Clone, Debug)]
pub(super) struct Served {
    sites: Arc<Sites>,
    site: usize,
}

impl Served {
    /// Returns whether a request for this host belongs on another connection. `is_named` tells whether the client has
    /// named the server in the handshake.
    pub(super) fn is_misdirected(&self, host: &str, is_named: bool) -> bool {
        let Sites { all, check_authority, .. } = &*self.sites;
        // A client that names no server takes the default certificate for any host, and would get it again.
        let is_checked = *check_authority && is_named;
        // The handshake of such a name is refused.
        let Some(asked) = self.sites.index(Some(host)) else { return is_checked || self.is_one_of_several() };
        if asked == self.site {
            return false;
        }
        let policy = |site: usize| all.get(site).map(|site| site.policy);
        is_checked || policy(asked) != policy(self.site)
    }

    /// Returns whether there are sites that need other certificates of clients.
    pub(super) fn is_one_of_several(&self) -> bool {
        let Some(own) = self.sites.all.get(self.site) else { return true };
        self.sites.all.iter().any(|site| site.policy != own.policy)
    }
}

impl PartialEq for Served {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sites, &other.sites) && self.site == other.site
    }
}

impl Eq for Served {}

impl Sites {
    /// Creates the sites of these settings. Tickets of `previous` sites are accepted, if they have the same secrets.
    pub(super) fn new(settings: &TlsSettings, previous: Option<&Self>) -> Result<Self, InvalidTls> {
        let certificates = match &settings.source {
            Source::Certificates(certificates) => certificates,
            Source::Complete { unused: Some(setting), .. } => return Err(InvalidTls::Complete { setting }),
            Source::Complete { config, unused: None } => {
                return Ok(Self {
                    all: vec![Site {
                        config: Arc::clone(config),
                        without_aes: Arc::clone(config),
                        policy: NO_CLIENT_AUTH,
                    }],
                    names: Names::default(),
                    default: Some(0),
                    check_authority: false,
                    certificates: Vec::new(),
                    tickets: None,
                });
            }
        };
        if settings.alpn.iter().any(|protocol| !(1..=255).contains(&protocol.len())) {
            return Err(InvalidTls::Alpn);
        }
        let mut builder = Builder {
            settings,
            provider: Arc::new(with_fast_suites(&settings.provider())),
            keys: Vec::new(),
            certificates,
            sites: Vec::new(),
            known: HashMap::new(),
            tickets: settings.resumption.then(|| tickets(settings, previous)),
        };
        for certificate in certificates {
            builder.keys.push(Arc::new(certificate.certified_key(&builder.provider)?));
        }
        let is_default = |at: usize| at == 0 && !settings.strict_sni;
        let mut status = Vec::new();
        // Of each name, in the order in which the certificates are preferred.
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, certificate) in certificates.iter().enumerate() {
            let names = certificate.sni_names()?;
            if names.is_empty() && !is_default(at) {
                return Err(InvalidTls::NoName { certificate: certificate.source.clone() });
            }
            for name in &names {
                let list = by_name.entry(name.clone()).or_default();
                if !list.contains(&at) {
                    list.push(at);
                }
            }
            status.push(CertificateStatus::new(certificate, names, is_default(at)));
        }
        // The first certificate may be one of several for its name.
        let first_name = status.first().and_then(|first| first.names.first());
        let default = first_name.and_then(|name| by_name.get(name)).cloned().unwrap_or_else(|| vec![0]);
        let mut names = Names::default();
        for (name, list) in by_name {
            let site = builder.site(&name, list)?;
            names.insert(name, site);
        }
        let default = if settings.strict_sni { None } else { Some(builder.site("", default)?) };
        Ok(Self {
            names,
            default,
            check_authority: settings.check_authority,
            certificates: status,
            all: builder.sites,
            tickets: builder.tickets,
        })
    }

    /// Returns the site that a client asks for, and its configuration. `None` if the handshake must be refused.
    pub(super) fn find(self: &Arc<Self>, hello: &ClientHello<'_>) -> Option<(Served, Arc<ServerConfig>)> {
        let index = self.index(hello.server_name())?;
        let site = self.all.get(index)?;
        let config = if prefers_chacha20(hello) { &site.without_aes } else { &site.config };
        Some((Served { sites: Arc::clone(self), site: index }, Arc::clone(config)))
    }

    fn index(&self, name: Option<&str>) -> Option<usize> {
        let Some(name) = name else { return self.default };
        self.names.get(name).or_else(|| {
            let default = self.default?;
            // A route may take `*.app.test` for all names below. Such a name must not be served with another policy.
            let policy = |site: usize| self.all.get(site).map(|site| site.policy);
            let differs = |site| policy(site) != policy(default);
            (!self.names.below(name).any(differs)).then_some(default)
        })
    }
}

struct Builder<'a> {
    settings: &'a TlsSettings,
    provider: Arc<CryptoProvider>,
    certificates: &'a [Certificate],
    keys: Vec<Arc<CertifiedKey>>,
    sites: Vec<Site>,
    /// The site of each list of certificates.
    known: HashMap<Vec<usize>, usize>,
    tickets: Option<Arc<Tickets>>,
}

impl Builder<'_> {
    /// Returns the site of these certificates, which have this name.
    fn site(&mut self, name: &str, certificates: Vec<usize>) -> Result<usize, InvalidTls> {
        if let Some(site) = self.known.get(&certificates) {
            return Ok(*site);
        }
        let auth = self.client_auth(name, &certificates)?;
        let policy = auth.as_ref().map_or(NO_CLIENT_AUTH, ClientAuth::fingerprint);
        let keys = certificates.iter().filter_map(|at| self.keys.get(*at)).cloned().collect();
        // A resumed session has the certificate of the client as it was, which may have expired. It is too late to refuse
        // the client after the handshake: it has new tickets of this session then, and would come back with them.
        let tickets = self.tickets.clone().filter(|_| auth.is_none());
        let verifier =
            auth.map_or_else(|| Ok(WebPkiClientVerifier::no_client_auth()), |auth| auth.verifier(&self.provider))?;
        let versions = self.settings.versions();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(versions).map_err(InvalidTls::Provider)?;
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(Choice(keys)));
        config.alpn_protocols.clone_from(&self.settings.alpn);
        // Sessions are in tickets only, so that they take no memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match tickets {
            Some(tickets) => config.ticketer = tickets,
            None => config.send_tls13_tickets = 0,
        }
        let without_aes = Arc::new(config.clone());
        config.ignore_client_order = true;
        self.sites.push(Site { config: Arc::new(config), without_aes, policy });
        let site = self.sites.len() - 1;
        self.known.insert(certificates, site);
        Ok(site)
    }

    /// Returns which certificates are asked of clients of this name.
    fn client_auth(&self, name: &str, certificates: &[usize]) -> Result<Option<ClientAuth>, InvalidTls> {
        let of = |at: &usize| {
            let own = self.certificates.get(*at).and_then(|certificate| certificate.client_auth.clone());
            own.or_else(|| self.settings.client_auth.clone())
        };
        let mut all = certificates.iter().map(of);
        let first = all.next().flatten();
        let fingerprint = |auth: &Option<ClientAuth>| auth.as_ref().map(ClientAuth::fingerprint);
        if all.any(|other| fingerprint(&other) != fingerprint(&first)) {
            return Err(InvalidTls::ClientAuthConflict { name: name.to_owned() });
        }
        Ok(first)
    }
}

/// Returns the tickets of `previous` sites if the settings are the same. Otherwise, new ones.
fn tickets(settings: &TlsSettings, previous: Option<&Sites>) -> Arc<Tickets> {
    let new = Tickets::new(settings.ticket_secrets.clone(), settings.ticket_lifetime);
    match previous.and_then(|sites| sites.tickets.as_ref()).filter(|tickets| tickets.is_same(&new)) {
        Some(previous) => Arc::clone(previous),
        None => Arc::new(new),
    }
}

/// Returns a provider that prefers AES-128. Its handshakes take less time than those of AES-256, because their keys are
/// derived with SHA-256 instead of SHA-384. Most processors have instructions for SHA-256 only.
fn with_fast_suites(provider: &CryptoProvider) -> CryptoProvider {
    let mut provider = provider.clone();
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

/// Returns whether a client prefers ChaCha20 to AES.
fn prefers_chacha20(hello: &ClientHello<'_>) -> bool {
    let known = |suite: &&CipherSuite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS13_AES_256_GCM_SHA384
                | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        )
    };
    hello.cipher_suites().iter().find(known) == Some(&CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)
}

/// The certificates of a site, the preferred one first.
#[derive(Debug)]
struct Choice(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Choice {
    /// Returns the first certificate with a key that the client supports.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_supported = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(is_supported).or_else(|| self.0.first()).cloned()
    }
}

/// Finds sites by names.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<String, usize>,
    /// By what follows `*.`.
    wildcards: HashMap<String, usize>,
}

impl Names {
    fn insert(&mut self, name: String, site: usize) {
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcards.insert(parent.to_owned(), site),
            None => self.exact.insert(name, site),
        };
    }

    /// Returns the sites of the wildcards above a name, at any distance.
    fn below(&self, name: &str) -> impl Iterator<Item = usize> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut found = Vec::new();
        let mut rest = &*name;
        while let Some((_, parent)) = rest.split_once('.') {
            found.extend(self.wildcards.get(parent).copied());
            rest = parent;
        }
        found.into_iter()
    }

    /// Finds the site of a name. A dot at its end has no meaning.
    fn get(&self, name: &str) -> Option<usize> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let wildcard = || self.wildcards.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(wildcard).copied()
    }
}
