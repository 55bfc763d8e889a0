//! The secrets that sign the values of cookies. A reload can replace them.

use std::{error::Error, path::PathBuf, sync::Arc};

use equipoise::affinity::{
    by_name::BuildContext,
    token::{KeyError, KeyRing, TokenKey, Tokens},
};
use toml::Spanned;

use crate::{
    client::client_address,
    source::{ConfigError, Source, causes},
};

/// The secrets of the running gateway.
pub(crate) struct Keys {
    tokens: Arc<Tokens>,
}

/// The secrets of a configuration.
pub(crate) struct Secrets {
    ring: KeyRing,
    /// Whether there are any.
    pub(crate) sign: bool,
    /// What affinities are built from.
    pub(crate) context: BuildContext,
}

impl Keys {
    pub(crate) fn new() -> Self {
        // Cookies of other gateways are accepted if they have the same secret and this text.
        Self { tokens: Arc::new(Tokens::new(KeyRing::default(), "gateway")) }
    }

    /// Reads the secrets of a configuration.
    pub(crate) fn read(&self, file: Option<&Spanned<PathBuf>>, source: &Source) -> Result<Secrets, ConfigError> {
        let context = BuildContext::new().peer(client_address);
        let Some(file) = file else {
            return Ok(Secrets { ring: KeyRing::default(), sign: false, context });
        };
        let wrong = |message: &str| source.error(file.span(), format_args!("{}: {message}", file.get_ref().display()));
        let failed = |error: &dyn Error| wrong(&causes(error));
        let text = std::fs::read(source.path(file.get_ref())).map_err(|error| failed(&error))?;
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let secrets: Vec<_> = lines.collect();
        if secrets.is_empty() {
            return Err(wrong("there is no secret: write one, for example with `openssl rand -hex 32`"));
        }
        let ring = ring(&secrets).map_err(|error| match error {
            KeyError::DuplicateKid { .. } => {
                wrong("two secrets are equal, or have the same id by chance: replace one of them")
            }
            error => failed(&error),
        })?;
        Ok(Secrets { ring, sign: true, context: context.tokens(Arc::clone(&self.tokens)) })
    }

    /// Signs new cookies with the first one of these secrets, and accepts cookies of these secrets only.
    pub(crate) fn rotate(&self, secrets: Secrets) {
        self.tokens.rotate(secrets.ring);
    }
}

/// Returns a ring in which the first secret signs.
fn ring(secrets: &[&[u8]]) -> Result<KeyRing, KeyError> {
    let mut keys = secrets.iter().map(|secret| TokenKey::new(id(secret), secret));
    let Some(signing) = keys.next() else { return Ok(KeyRing::default()) };
    keys.try_fold(KeyRing::new(signing?), |ring, key| ring.accept(key?))
}

/// Returns the id of a secret. All gateways must give it the same one, so it is a hash of the secret (FNV-1a), of which
/// cookies reveal eight bits.
fn id(secret: &[u8]) -> u8 {
    let hash = secret
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 56) as u8
}
