use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{Algorithm, Refusal, json};

/// A signed token in the compact form (RFC 7515, section 7.1) whose signature is not verified yet.
///
/// `jku`, `jwk`, `x5u`, `x5c` and other members of the header that carry or name keys are ignored: keys come from the
/// configuration only.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) token_type: Option<String>,
    /// What is signed: the first two parts, as they were sent.
    pub(super) message: &'t [u8],
    payload: &'t [u8],
    pub(super) signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Reads a token. O(its length).
    pub(super) fn parse(token: &'t [u8]) -> Result<Self, Refusal> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let message = token.get(..header.len() + 1 + payload.len()).ok_or(Refusal::Malformed)?;
        let header = json::object(&decoded(header)?).ok_or(Refusal::Malformed)?;
        // No extension is understood, so none may be critical (RFC 7515, section 4.1.11; `b64`: RFC 7797).
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Refusal::CriticalHeader);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name);
        Ok(Self {
            algorithm: algorithm.ok_or(Refusal::Algorithm)?,
            key_id: text(&header, "kid")?,
            token_type: text(&header, "typ")?,
            message,
            payload,
            signature: decoded(signature)?,
        })
    }

    /// Reads the claims.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        json::object(&decoded(self.payload)?).ok_or(Refusal::Malformed)
    }
}

/// base64url without padding, and without other encodings of the same bytes.
fn decoded(part: &[u8]) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

fn text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn refused(token: impl AsRef<[u8]>) -> Option<Refusal> {
        Token::parse(token.as_ref()).and_then(|token| token.claims()).err()
    }

    #[test]
    fn the_example_of_rfc_7519_is_read() {
        // RFC 7519, section 3.1.
        let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                    cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let token = Token::parse(text.as_bytes()).expect("a token");
        assert_eq!((token.algorithm, token.token_type.as_deref()), (Algorithm::Hs256, Some("JWT")));
        assert_eq!(token.signature.len(), 32);
        let claims = token.claims().expect("claims");
        assert_eq!((&claims["iss"], &claims["exp"]), (&"joe".into(), &1_300_819_380.into()));
        assert_eq!(
            &text.as_bytes()[..token.message.len() + 1],
            &text.as_bytes()[..text.rfind('.').expect("a dot") + 1]
        );
    }

    #[test]
    fn unsecured_tokens_are_refused_in_all_spellings() {
        // RFC 7519, section 6.1.
        let example = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
                       b290Ijp0cnVlfQ.";
        assert_eq!(refused(example), Some(Refusal::Algorithm));
        for name in ["none", "None", "NONE", "nOnE", "none ", "", "HS256,none", "\\u006eone"] {
            assert_eq!(refused(encoded(&format!(r#"{{"alg":"{name}"}}"#), "{}")), Some(Refusal::Algorithm), "{name}");
        }
        for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":0}"#, r#"{"Alg":"HS256"}"#] {
            assert_eq!(refused(encoded(header, "{}")), Some(Refusal::Algorithm), "{header}");
        }
    }

    #[test]
    fn critical_extensions_are_refused() {
        for header in [
            r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"HS256","b64":false}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","crit":null}"#,
        ] {
            assert_eq!(refused(encoded(header, "{}")), Some(Refusal::CriticalHeader), "{header}");
        }
    }

    #[test]
    fn tokens_of_another_form_are_refused() {
        let good = encoded(r#"{"alg":"HS256"}"#, "{}");
        assert_eq!(refused(&good), None);
        // Another number of parts, such as that of an encrypted token (RFC 7516).
        for token in ["", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", &format!("{good}."), &format!(".{good}")] {
            assert_eq!(refused(token), Some(Refusal::Malformed), "{token}");
        }
        for token in [
            format!("{good}="),
            format!("{good} "),
            format!("{good}\n"),
            good.replace('.', "=."),
            good.replace("c2ln", "c2l+"),
            good.replace("c2ln", "c2l/"),
            // The last two bits of the last character are no part of the bytes.
            good.replace("c2ln", "c2lnYR"),
            good.replace("c2ln", "c2lnY"),
            good.replace("c2ln", "c2\u{b5}"),
        ] {
            assert_eq!(refused(&token), Some(Refusal::Malformed), "{token}");
        }
        for (header, payload) in [
            (r#"{"alg":"HS256","alg":"HS256"}"#, "{}"),
            (r#"{"alg":"HS256","kid":1}"#, "{}"),
            (r#"{"alg":"HS256","typ":null}"#, "{}"),
            (r#"["HS256"]"#, "{}"),
            ("", "{}"),
            (r#"{"alg":"HS256"}"#, "[]"),
            (r#"{"alg":"HS256"}"#, ""),
            (r#"{"alg":"HS256"}"#, r#"{"sub":"a","sub":"b"}"#),
            (r#"{"alg":"HS256"}"#, "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"),
        ] {
            assert_eq!(refused(encoded(header, payload)), Some(Refusal::Malformed), "{header} {payload}");
        }
        let latin = [good.as_bytes(), b"\xe9"].concat();
        assert_eq!(refused(latin), Some(Refusal::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = refused(bytes);
        }

        #[test]
        fn no_header_and_no_claims_make_it_panic(header in "\\PC{0,60}", payload in "\\PC{0,60}") {
            let _ = refused(encoded(&header, &payload));
        }
    }
}
