use std::{collections::BTreeMap, fmt, sync::Arc};

/// The verified sender of a request. An authentication layer sets it, and it is an extension of the request.
///
/// Layers inside of the authentication, such as rate limits and caches, read it to tell clients apart. It is cheap to
/// clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Arc<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    name: String,
    mechanism: Mechanism,
    attributes: BTreeMap<String, String>,
    other_schemes: String,
    /// Digests of what else the backend learns of the sender, such as the claims of a token that it gets.
    distinction: Vec<u8>,
}

/// How an [`Identity`] was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mechanism {
    /// A user name and a password (HTTP Basic).
    Basic,
    /// An API key.
    ApiKey,
    /// A JSON Web Token.
    Jwt,
    /// The certificate of a TLS client.
    ClientCertificate,
    /// An external service has decided.
    External,
    /// A closure of the application has decided.
    Custom,
}

impl Identity {
    /// Creates an identity. `name` is what distinguishes the client among those of the mechanism, such as the user name
    /// or the subject of a token.
    #[must_use]
    pub fn new(name: impl Into<String>, mechanism: Mechanism) -> Self {
        Self(Arc::new(Parts {
            name: name.into(),
            mechanism,
            attributes: BTreeMap::new(),
            other_schemes: String::new(),
            distinction: Vec::new(),
        }))
    }

    /// Adds an attribute, such as a claim of a token. A later value replaces an earlier one.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).attributes.insert(name.into(), value.into());
        self
    }

    /// Adds what further schemes have found, in the form of [`other_schemes`](Self::other_schemes).
    #[cfg(any(feature = "auth", test))]
    pub(crate) fn and_other_schemes(mut self, list: &str) -> Self {
        if !list.is_empty() {
            let others = &mut Arc::make_mut(&mut self.0).other_schemes;
            if !others.is_empty() {
                others.push(',');
            }
            others.push_str(list);
        }
        self
    }

    /// Adds a digest of what else the backend learns of the sender. Identities with different digests are not equal, and
    /// share no stored responses of a cache per identity.
    #[cfg(feature = "auth")]
    pub(crate) fn distinguish(mut self, digest: &[u8]) -> Self {
        if !digest.is_empty() {
            Arc::make_mut(&mut self.0).distinction.extend(digest);
        }
        self
    }

    /// Returns all digests.
    #[cfg(any(feature = "auth", feature = "cache"))]
    pub(crate) fn distinction(&self) -> &[u8] {
        &self.0.distinction
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns how the identity was verified.
    pub fn mechanism(&self) -> Mechanism {
        self.0.mechanism
    }

    /// Returns the list of what further schemes have found that had to accept the request too: each as
    /// `mechanism:name`, such as `basic:ann`, joined by `,`. In names, a `,` and a `%` are percent-encoded. Empty if
    /// there is none.
    pub fn other_schemes(&self) -> &str {
        &self.0.other_schemes
    }

    /// Returns an attribute. `None` if there is none with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.attributes.get(name).map(String::as_str)
    }

    /// Returns all attributes, ordered by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Mechanism {
    /// Returns the stable label of the mechanism for metrics and logs, such as `api_key`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::ClientCertificate => "client_certificate",
            Self::External => "external",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
