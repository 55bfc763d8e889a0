use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::key::{InvalidKey, VerifyingKey};
use crate::auth::jwt::algorithm::Algorithm;

/// A key of a document that cannot be used. The other keys of the document are used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IgnoredKey {
    /// The `kid`, if there is one.
    pub id: Option<String>,
    /// Why it cannot be used.
    pub reason: IgnoredReason,
}

/// Why a key of a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoredReason {
    /// A member is missing or has another type than RFC 7517 and RFC 7518 say.
    #[error("`{member}` is missing or malformed")]
    #[non_exhaustive]
    Member {
        /// The name of the member.
        member: &'static str,
    },
    /// The key is for encryption (`use` or `key_ops`), not for verification.
    #[error("the key is not for signatures")]
    NotForSignatures,
    /// `alg` is no algorithm that can be verified.
    #[error("the algorithm of the key is not supported")]
    UnknownAlgorithm,
    /// `kty` or `crv` is not supported.
    #[error("keys of this kind are not supported: use RSA, P-256, P-384 or Ed25519")]
    UnknownKind,
    /// The document was fetched from a URL, and has a secret. Each client that reads the URL could make tokens with it.
    #[error("a secret from a URL is public")]
    PublicSecret,
    /// The key itself cannot be used.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

/// From where a text with keys comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Only the operator can read it, so it may have secrets.
    Private,
    Url,
}

/// Reads the keys of a JWK set (RFC 7517, section 5). `None` if the text is no such set. Keys are read one by one,
/// because a set can have keys of kinds that are not known yet (section 5).
pub(super) fn read(text: &str, origin: Origin) -> Option<impl Iterator<Item = Result<VerifyingKey, IgnoredKey>>> {
    let Ok(Value::Object(mut set)) = serde_json::from_str(text) else { return None };
    let Some(Value::Array(keys)) = set.remove("keys") else { return None };
    Some(keys.into_iter().map(move |key| {
        let id = key.get("kid").and_then(Value::as_str).map(str::to_owned);
        let read = key.as_object().ok_or(IgnoredReason::Member { member: "kty" }).and_then(|key| one(key, origin));
        read.map_err(|reason| IgnoredKey { id, reason })
    }))
}

fn one(jwk: &Map<String, Value>, origin: Origin) -> Result<VerifyingKey, IgnoredReason> {
    let text = |member: &'static str| match jwk.get(member) {
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        None => Ok(None),
        Some(_) => Err(IgnoredReason::Member { member }),
    };
    let bytes = |member: &'static str| {
        let malformed = || IgnoredReason::Member { member };
        URL_SAFE_NO_PAD.decode(text(member)?.ok_or_else(malformed)?).map_err(|_| malformed())
    };
    if text("use")?.is_some_and(|usage| usage != "sig") {
        return Err(IgnoredReason::NotForSignatures);
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
        Some(Value::Array(_)) => return Err(IgnoredReason::NotForSignatures),
        Some(_) => return Err(IgnoredReason::Member { member: "key_ops" }),
    }
    let algorithm = match text("alg")? {
        Some(name) => Some(Algorithm::from_name(name).ok_or(IgnoredReason::UnknownAlgorithm)?),
        None => None,
    };
    let key = match text("kty")?.ok_or(IgnoredReason::Member { member: "kty" })? {
        "RSA" => VerifyingKey::rsa(&bytes("n")?, &bytes("e")?)?,
        "EC" => {
            let length = match text("crv")? {
                Some("P-256") => 32,
                Some("P-384") => 48,
                _ => return Err(IgnoredReason::UnknownKind),
            };
            let mut point = vec![4];
            for member in ["x", "y"] {
                let coordinate = bytes(member)?;
                // RFC 7518, section 6.2.1.2: with leading zeros.
                if coordinate.len() != length {
                    return Err(IgnoredReason::Member { member });
                }
                point.extend(coordinate);
            }
            VerifyingKey::ec_point(&point)?
        }
        "OKP" if text("crv")? == Some("Ed25519") => VerifyingKey::ed25519(&bytes("x")?)?,
        "oct" if origin == Origin::Url => return Err(IgnoredReason::PublicSecret),
        "oct" => {
            // Without an algorithm, the same secret could be used with several ones.
            let algorithm = algorithm.ok_or(IgnoredReason::Member { member: "alg" })?;
            VerifyingKey::secret(algorithm, bytes("k")?)?
        }
        _ => return Err(IgnoredReason::UnknownKind),
    };
    let key = match algorithm {
        Some(algorithm) => key.algorithm(algorithm)?,
        None => key,
    };
    Ok(match text("kid")? {
        Some(id) => key.id(id),
        None => key,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    // RFC 7515, appendices A.2.1 and A.3.1, and RFC 8037, appendix A.2.
    const RSA: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS\
                       -pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg\
                       665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    const ED: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn one_of(jwk: Value) -> Result<VerifyingKey, IgnoredReason> {
        one(jwk.as_object().expect("an object"), Origin::Private)
    }

    fn reason(jwk: Value) -> Option<IgnoredReason> {
        one_of(jwk).err()
    }

    #[test]
    fn keys_of_all_kinds_are_read() {
        let rsa = one_of(json!({ "kty": "RSA", "n": RSA, "e": "AQAB", "kid": "r", "use": "sig" })).expect("a key");
        assert!(rsa.verifies(Algorithm::Rs256) && rsa.verifies(Algorithm::Ps512) && !rsa.verifies(Algorithm::Hs256));
        assert_eq!(rsa.get_id(), Some("r"));
        let rsa = one_of(json!({ "kty": "RSA", "n": RSA, "e": "AQAB", "alg": "RS256" })).expect("a key");
        assert!(rsa.verifies(Algorithm::Rs256) && !rsa.verifies(Algorithm::Ps256));
        let ec = one_of(json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "key_ops": ["verify"] })).expect("a key");
        assert!(ec.verifies(Algorithm::Es256) && !ec.verifies(Algorithm::Es384));
        let ed = one_of(json!({ "kty": "OKP", "crv": "Ed25519", "x": ED, "alg": "EdDSA" })).expect("a key");
        assert!(ed.verifies(Algorithm::EdDsa));
        let secret = one_of(json!({ "kty": "oct", "k": "A".repeat(43), "alg": "HS256" })).expect("a key");
        assert!(secret.verifies(Algorithm::Hs256) && !secret.verifies(Algorithm::Hs384));
    }

    #[test]
    fn keys_for_other_uses_are_ignored() {
        let with = |member: &str, value: Value| {
            let mut jwk = json!({ "kty": "RSA", "n": RSA, "e": "AQAB" });
            jwk[member] = value;
            reason(jwk)
        };
        assert_eq!(with("use", json!("enc")), Some(IgnoredReason::NotForSignatures));
        assert_eq!(with("key_ops", json!(["sign", "encrypt"])), Some(IgnoredReason::NotForSignatures));
        assert_eq!(with("key_ops", json!([])), Some(IgnoredReason::NotForSignatures));
        assert_eq!(with("key_ops", json!("verify")), Some(IgnoredReason::Member { member: "key_ops" }));
        assert_eq!(with("alg", json!("RSA-OAEP")), Some(IgnoredReason::UnknownAlgorithm));
        assert_eq!(with("alg", json!("none")), Some(IgnoredReason::UnknownAlgorithm));
        assert_eq!(with("alg", json!(1)), Some(IgnoredReason::Member { member: "alg" }));
        let fits = "RS256, RS384, RS512, PS256, PS384 or PS512";
        let algorithm = |algorithm| Some(IgnoredReason::Key(InvalidKey::Algorithm { algorithm, fits }));
        assert_eq!(with("alg", json!("HS256")), algorithm(Algorithm::Hs256));
        assert_eq!(with("alg", json!("ES256")), algorithm(Algorithm::Es256));
        assert_eq!(with("kid", json!(1)), Some(IgnoredReason::Member { member: "kid" }));
    }

    #[test]
    fn malformed_and_unknown_keys_are_ignored() {
        let member = |member| Some(IgnoredReason::Member { member });
        assert_eq!(reason(json!({})), member("kty"));
        assert_eq!(reason(json!({ "kty": "RSA", "e": "AQAB" })), member("n"));
        assert_eq!(reason(json!({ "kty": "RSA", "n": RSA, "e": "AQAB=" })), member("e"));
        assert_eq!(reason(json!({ "kty": "EC", "crv": "P-256", "x": X, "y": "AA" })), member("y"));
        assert_eq!(reason(json!({ "kty": "oct", "k": "A".repeat(43) })), member("alg"));
        for jwk in [
            json!({ "kty": "EC", "crv": "P-521", "x": X, "y": Y }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": X, "y": Y }),
            json!({ "kty": "OKP", "crv": "X25519", "x": ED }),
            json!({ "kty": "AKP" }),
        ] {
            assert_eq!(reason(jwk), Some(IgnoredReason::UnknownKind));
        }
        let short = json!({ "kty": "RSA", "n": &RSA[..172], "e": "AQAB" });
        assert_eq!(reason(short), Some(IgnoredReason::Key(InvalidKey::RsaSize { bits: 1032 })));
        let point = json!({ "kty": "EC", "crv": "P-256", "x": Y, "y": X });
        assert_eq!(reason(point), Some(IgnoredReason::Key(InvalidKey::Unreadable)));
        let short = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" });
        assert_eq!(reason(short), Some(IgnoredReason::Key(InvalidKey::Unreadable)));
        let secret = json!({ "kty": "oct", "k": "A".repeat(43), "alg": "HS256" });
        let read = one(secret.as_object().expect("an object"), Origin::Url).err();
        assert_eq!(read, Some(IgnoredReason::PublicSecret));
    }

    #[test]
    fn one_bad_key_does_not_harm_the_others() {
        let set = json!({ "keys": [
            { "kty": "AKP", "kid": "new" }, null, { "kty": "OKP", "crv": "Ed25519", "x": ED, "kid": "ed" },
        ] });
        let keys: Vec<_> = read(&set.to_string(), Origin::Url).expect("a set").collect();
        let ids: Vec<_> =
            keys.iter().map(|key| key.as_ref().map(VerifyingKey::get_id).map_err(|key| key.id.as_deref())).collect();
        assert_eq!(ids, [Err(Some("new")), Err(None), Ok(Some("ed"))]);
    }

    proptest! {
        #[test]
        fn no_key_makes_it_panic(
            kind in "RSA|EC|OKP|oct", curve in "P-256|P-384|Ed25519", algorithm in "RS256|ES256|EdDSA|HS256", a in "[A-Za-z0-9_-]{0,90}", b in "[A-Za-z0-9_-]{0,90}",
        ) {
            let _ = one_of(json!({
                "kty": kind, "crv": curve, "alg": algorithm, "n": a, "e": b, "x": a, "y": b, "k": a,
            }));
        }
    }
}
