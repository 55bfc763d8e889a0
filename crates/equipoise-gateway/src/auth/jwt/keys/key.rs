use std::sync::Arc;

use jsonwebtoken::{
    DecodingKey,
    crypto::{CryptoProvider, rust_crypto},
};

use super::{pem, secret::form_of_key};
use crate::auth::jwt::algorithm::Algorithm;

/// The minimum size of an RSA modulus in bits (RFC 7518, sections 3.3 and 3.5).
pub(super) const MIN_RSA_BITS: usize = 2048;
/// The maximum size of an RSA modulus in bits. The time of a verification grows with the square of it.
pub(super) const MAX_RSA_BITS: usize = 8192;

/// One key that verifies signatures of tokens: a public key, or a secret for HMAC.
///
/// A key verifies the algorithms of its kind only, so a public key is never taken for a secret: RSA keys verify RS256
/// to RS512 and PS256 to PS512, P-256 keys ES256, P-384 keys ES384, Ed25519 keys EdDSA, and a secret the one algorithm
/// that it was created for. [`algorithm`](Self::algorithm) allows only one of the algorithms of an RSA key.
///
/// Its `Debug` output contains no key material.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    id: Option<Arc<str>>,
    kind: Kind,
    /// The one algorithm that is allowed. `None`: each one of the kind.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The secret is too short to be secure.
    #[error(
        "a secret for {algorithm} has {min} bytes or more, this one has {bytes}: create one with `openssl rand -hex {min}`"
    )]
    #[non_exhaustive]
    ShortSecret {
        /// The algorithm for which the secret was meant.
        algorithm: Algorithm,
        /// The length of the secret in bytes.
        bytes: usize,
        /// The minimum length in bytes.
        min: usize,
    },
    /// The secret is the text of a key. Others may know a public key, and could make tokens with it as the secret.
    #[error(
        "the secret is the text of a key ({form}), which others may know: use a public key as such, or create a secret \
         with `openssl rand -hex 64`"
    )]
    #[non_exhaustive]
    KeyAsSecret {
        /// The form of the key: `PEM`, `OpenSSH` or `JWK`.
        form: &'static str,
    },
    /// The modulus of an RSA key is too short to be secure, or so long that each verification would take milliseconds.
    #[error("an RSA key has 2048 to 8192 bits, this one has {bits}")]
    #[non_exhaustive]
    RsaSize {
        /// The size of the modulus in bits.
        bits: usize,
    },
    /// The algorithm is one of another kind of key.
    #[error("{algorithm} does not fit to this kind of key: use {fits}")]
    #[non_exhaustive]
    Algorithm {
        /// The algorithm that was refused.
        algorithm: Algorithm,
        /// What would fit to the key.
        fits: &'static str,
    },
    /// The text has no PEM block.
    #[error("there is no PEM block: a key begins with `-----BEGIN PUBLIC KEY-----`")]
    NoPem,
    /// The PEM block is not one of a public key.
    #[error(
        "a PEM block `{label}` is no public key: use `PUBLIC KEY`, which `openssl pkey -pubout` and `openssl x509 -pubkey` write"
    )]
    #[non_exhaustive]
    PemLabel {
        /// The label of the block, such as `PRIVATE KEY`.
        label: String,
    },
    /// The text has more than one PEM block, where one key is expected.
    #[error("there are several PEM blocks: use one key, or a set of keys")]
    SeveralKeys,
    /// The key has a kind that cannot be used, or its bytes are not those of a key.
    #[error("the key cannot be read: use RSA, P-256, P-384 or Ed25519")]
    Unreadable,
}

impl VerifyingKey {
    /// Creates a key for HMAC. `algorithm` is one of HS256, HS384 and HS512. The secret is as long as its hash or
    /// longer: 32, 48 or 64 bytes. It should be random: with a guessed secret, an attacker can make tokens.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::ShortSecret`], [`InvalidKey::KeyAsSecret`] for the text of a key in PEM, of OpenSSH or as a JWK, or
    /// [`InvalidKey::Algorithm`] for an algorithm with public keys.
    pub fn secret(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Result<Self, InvalidKey> {
        let (secret, min) = (secret.as_ref(), algorithm.min_secret());
        if !algorithm.is_symmetric() {
            let fits = "HS256, HS384 or HS512 with a secret, and a public key for other algorithms";
            return Err(InvalidKey::Algorithm { algorithm, fits });
        }
        if let Some(form) = form_of_key(secret) {
            return Err(InvalidKey::KeyAsSecret { form });
        }
        if secret.len() < min {
            return Err(InvalidKey::ShortSecret { algorithm, bytes: secret.len(), min });
        }
        let key = DecodingKey::from_secret(secret).map_err(|_| InvalidKey::Unreadable)?;
        Ok(Self { id: None, kind: Kind::Secret, algorithm: Some(algorithm), key })
    }

    /// Reads a public key in PEM: a block `PUBLIC KEY` with an RSA, P-256, P-384 or Ed25519 key, or a block `RSA PUBLIC
    /// KEY`. Text around the block is ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if there is not exactly one block, or if it is no such key.
    pub fn pem(text: &str) -> Result<Self, InvalidKey> {
        let mut blocks = pem::blocks(text);
        let block = blocks.next().ok_or(InvalidKey::NoPem)?;
        if blocks.next().is_some() {
            return Err(InvalidKey::SeveralKeys);
        }
        Self::of_block(&block)
    }

    pub(super) fn of_block(block: &pem::Block<'_>) -> Result<Self, InvalidKey> {
        if !matches!(block.label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
            return Err(InvalidKey::PemLabel { label: block.label.to_owned() });
        }
        let bytes = block.text.as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
            let der = key.try_get_as_bytes().map_err(|_| InvalidKey::Unreadable)?;
            let components = (provider().key_utils.rsa_pub_components_from_public_key)(der);
            let (modulus, exponent) = components.map_err(|_| InvalidKey::Unreadable)?;
            Self::rsa(&modulus, &exponent)
        } else if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
            Self::ec(key)
        } else {
            let key = DecodingKey::from_ed_pem(bytes).map_err(|_| InvalidKey::Unreadable)?;
            Self::ed25519(key.try_get_as_bytes().map_err(|_| InvalidKey::Unreadable)?)
        }
    }

    /// Creates an RSA key of its modulus and its exponent, which are big-endian.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, InvalidKey> {
        let first = modulus.iter().position(|byte| *byte != 0).unwrap_or(modulus.len());
        let modulus = modulus.get(first..).unwrap_or_default();
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = (modulus.len() * 8).saturating_sub(zeros);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(InvalidKey::RsaSize { bits });
        }
        // With the exponent 1, signatures can be made without the private key.
        let value = exponent.iter().try_fold(0_u64, |value, byte| Some(value.checked_mul(256)? | u64::from(*byte)));
        let is_exponent = value.is_some_and(|value| (3..1 << 33).contains(&value) && value % 2 == 1);
        if !is_exponent || modulus.last().is_none_or(|last| last % 2 == 0) {
            return Err(InvalidKey::Unreadable);
        }
        Self::checked(Kind::Rsa, DecodingKey::from_rsa_raw_components(modulus, exponent), Algorithm::Rs256)
    }

    /// Creates a key of a point: uncompressed or compressed (SEC 1, section 2.3.3).
    pub(super) fn ec_point(point: &[u8]) -> Result<Self, InvalidKey> {
        Self::ec(DecodingKey::from_ec_der(point))
    }

    fn ec(key: DecodingKey) -> Result<Self, InvalidKey> {
        // The length tells the curve. A point of another curve with this length is not on this one, and refused.
        let (kind, algorithm) = match key.try_get_as_bytes().map_err(|_| InvalidKey::Unreadable)?.len() {
            33 | 65 => (Kind::P256, Algorithm::Es256),
            49 | 97 => (Kind::P384, Algorithm::Es384),
            _ => return Err(InvalidKey::Unreadable),
        };
        Self::checked(kind, key, algorithm)
    }

    pub(super) fn ed25519(bytes: &[u8]) -> Result<Self, InvalidKey> {
        // jsonwebtoken 12 reads the first 32 bytes without looking at the length.
        if bytes.len() != 32 || is_weak(bytes) {
            return Err(InvalidKey::Unreadable);
        }
        Self::checked(Kind::Ed25519, DecodingKey::from_ed_der(bytes), Algorithm::EdDsa)
    }

    /// Refuses bytes that are no key, so that no later verification fails for that reason.
    fn checked(kind: Kind, key: DecodingKey, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        match (provider().verifier_factory)(&algorithm.of_crate(), &key) {
            Ok(_) => Ok(Self { id: None, kind, algorithm: None, key }),
            Err(_) => Err(InvalidKey::Unreadable),
        }
    }

    /// Sets the id with which tokens name this key in `kid`. Default: none. A key without an id is tried for tokens
    /// without `kid`, and for tokens with a `kid` that no key has.
    #[must_use]
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Allows only one algorithm. Default: each one of the kind of the key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::Algorithm`] if the algorithm does not fit to the key.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Result<Self, InvalidKey> {
        if !self.verifies(algorithm) {
            return Err(InvalidKey::Algorithm { algorithm, fits: self.fits() });
        }
        self.algorithm = Some(algorithm);
        Ok(self)
    }

    /// Names the algorithms that the key verifies.
    fn fits(&self) -> &'static str {
        match (self.algorithm, self.kind) {
            (Some(only), _) => only.as_str(),
            (None, Kind::Secret) => "HS256, HS384 or HS512",
            (None, Kind::Rsa) => "RS256, RS384, RS512, PS256, PS384 or PS512",
            (None, Kind::P256) => "ES256",
            (None, Kind::P384) => "ES384",
            (None, Kind::Ed25519) => "EdDSA",
        }
    }

    /// Returns the id, if there is one.
    pub fn get_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns whether the key verifies an algorithm.
    pub fn verifies(&self, algorithm: Algorithm) -> bool {
        let of_kind = match self.kind {
            Kind::Secret => algorithm.is_symmetric(),
            Kind::Rsa => matches!(
                algorithm,
                Algorithm::Rs256
                    | Algorithm::Rs384
                    | Algorithm::Rs512
                    | Algorithm::Ps256
                    | Algorithm::Ps384
                    | Algorithm::Ps512
            ),
            Kind::P256 => algorithm == Algorithm::Es256,
            Kind::P384 => algorithm == Algorithm::Es384,
            Kind::Ed25519 => algorithm == Algorithm::EdDsa,
        };
        of_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Returns whether a signature is one of this key. `false` if the key does not verify the algorithm.
    pub(in crate::auth::jwt) fn is_signature(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        self.verifies(algorithm)
            && (provider().verifier_factory)(&algorithm.of_crate(), &self.key)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

/// The cryptography: what the application has installed, or that of RustCrypto. jsonwebtoken's own choice panics if the
/// application enables two of its features.
fn provider() -> &'static CryptoProvider {
    CryptoProvider::try_get_default().unwrap_or(&rust_crypto::DEFAULT_PROVIDER)
}

/// Returns whether an Ed25519 key is a point of small order, with which signatures verify that need no private key
/// (RFC 8032, section 8.9 does not exclude them). The list is that of the eight points and of their other encodings.
fn is_weak(key: &[u8]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ];
    let Some((last, first)) = key.split_last() else { return true };
    // The highest bit is the sign of x.
    let last = last & 0x7f;
    let is = |point: &[u8; 32]| point.split_last().is_some_and(|(end, start)| *end == last && start == first);
    // y = 0 and y = 1, and these plus p, and y = -1: p = 2^255 - 19 is ed ff … ff 7f.
    let mut edge = [0xff; 32];
    edge[31] = 0x7f;
    let is_edge = [0xec, 0xed, 0xee].into_iter().any(|low| {
        edge[0] = low;
        is(&edge)
    });
    let is_small =
        last == 0 && first.iter().skip(1).all(|byte| *byte == 0) && first.first().is_some_and(|low| *low <= 1);
    is_edge || is_small || ORDER_8.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_as_long_as_the_hash() {
        for (algorithm, min) in [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)] {
            let short = VerifyingKey::secret(algorithm, vec![7; min - 1]).map(drop);
            assert_eq!(short, Err(InvalidKey::ShortSecret { algorithm, bytes: min - 1, min }));
            let key = VerifyingKey::secret(algorithm, vec![7; min]).expect("a key");
            for other in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512, Algorithm::Rs256] {
                assert_eq!(key.verifies(other), other == algorithm);
            }
            assert!(!format!("{key:?}").contains('7'), "{key:?}");
        }
        let refused = VerifyingKey::secret(Algorithm::Rs256, [7; 64]).map(drop).expect_err("no algorithm of a secret");
        let text = "RS256 does not fit to this kind of key: use HS256, HS384 or HS512 with a secret, and a public key for \
                    other algorithms";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn the_refusal_of_an_algorithm_names_those_of_the_key() {
        let rsa = VerifyingKey::rsa(&[0xff; 256], &[1, 0, 1]).expect("a key");
        let refused = rsa.clone().algorithm(Algorithm::EdDsa).map(drop).expect_err("another kind");
        assert!(refused.to_string().ends_with("use RS256, RS384, RS512, PS256, PS384 or PS512"), "{refused}");
        let refused = rsa.algorithm(Algorithm::Ps256).expect("it fits").algorithm(Algorithm::Rs256).map(drop);
        assert!(refused.expect_err("only PS256").to_string().ends_with("use PS256"));
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits() {
        let rsa = |bytes: usize, first: u8| {
            let mut modulus = vec![0xff; bytes];
            modulus[0] = first;
            VerifyingKey::rsa(&modulus, &[1, 0, 1]).map(drop)
        };
        assert_eq!(rsa(256, 0x7f), Err(InvalidKey::RsaSize { bits: 2047 }));
        assert_eq!(rsa(256, 0x80), Ok(()));
        assert_eq!(rsa(257, 0), Ok(()));
        assert_eq!(rsa(1024, 0xff), Ok(()));
        assert_eq!(rsa(1025, 1), Err(InvalidKey::RsaSize { bits: 8193 }));
        assert_eq!(VerifyingKey::rsa(&[], &[]).map(drop), Err(InvalidKey::RsaSize { bits: 0 }));
    }

    #[test]
    fn rsa_exponents_are_odd_and_more_than_1() {
        for exponent in [&[][..], &[0], &[1], &[0, 1], &[1, 0, 0], &[2, 0, 0, 0, 1], &[1; 9]] {
            assert!(VerifyingKey::rsa(&[0xff; 256], exponent).is_err(), "{exponent:?}");
        }
        for exponent in [&[3][..], &[1, 0, 1], &[0, 1, 0, 1]] {
            assert!(VerifyingKey::rsa(&[0xff; 256], exponent).is_ok(), "{exponent:?}");
        }
    }

    #[test]
    fn ed25519_keys_of_another_length_or_of_small_order_are_refused() {
        for length in [0, 31, 33, 64] {
            assert!(VerifyingKey::ed25519(&vec![7; length]).is_err(), "{length}");
        }
        let edge = |low: u8, high: u8| {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, high);
            key
        };
        let small = |low: u8, high: u8| {
            let mut key = [0; 32];
            (key[0], key[31]) = (low, high);
            key
        };
        for key in [edge(0xec, 0x7f), edge(0xed, 0xff), edge(0xee, 0x7f), small(0, 0), small(0, 0x80), small(1, 0)] {
            assert!(VerifyingKey::ed25519(&key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn points_that_are_not_on_the_curve_are_refused() {
        for length in [0, 1, 33, 64, 65, 66, 97, 133] {
            assert_eq!(VerifyingKey::ec_point(&vec![4; length]).map(drop), Err(InvalidKey::Unreadable), "{length}");
        }
    }
}
