use http::{HeaderName, StatusCode, header, request::Parts};
use subtle::ConstantTimeEq;

use crate::page::{host::host, reply::Problem};

/// The header with the token.
pub(in crate::page) const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The text that a command must contain: 256 random bits, drawn when the page is created.
///
/// A page of another site can make a browser send a request with the operator's password. It cannot read the token,
/// because that is only in the state, and browsers show answers to pages of the same origin only. It cannot send the
/// header either: a request with a header of this name is asked for in advance, and the page does not permit it.
#[derive(Clone)]
pub(in crate::page) struct CsrfToken(String);

impl CsrfToken {
    pub(in crate::page) fn random() -> Self {
        let random: [u8; 32] = rand::random();
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(in crate::page) fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses a request without the token. Takes the same time wherever the first difference is.
    pub(in crate::page) fn check(&self, head: &Parts) -> Result<(), Problem> {
        let token = head.headers.get(TOKEN_HEADER).map(http::HeaderValue::as_bytes);
        match token {
            Some(token) if bool::from(token.ct_eq(self.0.as_bytes())) => Ok(()),
            Some(_) => Err(forbidden(
                "the token in X-CSRF-Token is not that of this process: read csrf_token in status.json again",
            )),
            None => Err(forbidden("changes need the header X-CSRF-Token, with csrf_token from status.json")),
        }
    }
}

/// Refuses a request that a page of another site has made a browser send.
pub(in crate::page) fn same_origin(head: &Parts) -> Result<(), Problem> {
    let refused = || forbidden("requests from pages of other sites are refused");
    if head.headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "same-origin") {
        return Err(refused());
    }
    let host = host(head).ok().flatten();
    for origin in head.headers.get_all(header::ORIGIN) {
        // The scheme is not known behind a proxy that ends TLS. `null` is the origin of documents without one.
        let authority =
            origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
        let is_same = match (&host, authority) {
            (Some(host), Some(authority)) => host.as_str().eq_ignore_ascii_case(authority),
            _ => false,
        };
        if !is_same {
            return Err(refused());
        }
    }
    Ok(())
}

fn forbidden(text: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, text)
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(Method::POST).uri("/endpoints");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn only_the_token_of_this_process_is_accepted() {
        let (token, other) = (CsrfToken::random(), CsrfToken::random());
        assert_eq!(token.as_str().len(), 64);
        let check = |headers: &[(&str, &str)]| token.check(&head(headers)).is_ok();
        assert!(check(&[("x-csrf-token", token.as_str())]));
        assert!(!check(&[]));
        for wrong in ["", other.as_str(), &token.as_str()[1..], &format!("{}0", token.as_str())] {
            assert!(!check(&[("x-csrf-token", wrong)]), "{wrong}");
        }
        // The first one counts.
        assert!(!check(&[("x-csrf-token", "x"), ("x-csrf-token", token.as_str())]));
    }

    #[test]
    fn requests_of_other_sites_are_refused() {
        let host = ("host", "127.0.0.1:9000");
        for accepted in [
            &[host][..],
            &[host, ("origin", "http://127.0.0.1:9000")],
            &[host, ("origin", "https://127.0.0.1:9000"), ("sec-fetch-site", "same-origin")],
            &[("host", "STATUS.test"), ("origin", "https://status.TEST")],
        ] {
            assert!(same_origin(&head(accepted)).is_ok(), "{accepted:?}");
        }
        for refused in [
            &[host, ("origin", "http://evil.test")][..],
            &[host, ("origin", "http://127.0.0.1")],
            &[host, ("origin", "http://127.0.0.1:9001")],
            &[host, ("origin", "http://127.0.0.1:9000.evil.test")],
            &[host, ("origin", "http://127.0.0.1:9000@evil.test")],
            &[host, ("origin", "null")],
            &[host, ("origin", "")],
            &[("origin", "http://127.0.0.1:9000")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[host, ("origin", "http://127.0.0.1:9000"), ("origin", "http://evil.test")],
        ] {
            assert_eq!(same_origin(&head(refused)).expect_err("refused").status, 403, "{refused:?}");
        }
    }
}
