//! The messages and statuses of errors.

use equipoise_tower::{Error, UnsupportedRequest};

#[test]
fn an_unsupported_request_is_not_blamed_on_a_backend() {
    let error = Error::Unsupported(UnsupportedRequest::new("CONNECT"));
    assert_eq!((error.status().as_u16(), error.public_message()), (501, "such a request is not supported"));
}

#[cfg(feature = "reqwest")]
#[test]
fn a_balanced_client_refuses_addresses_that_cannot_be_used_for_http() {
    for address in ["a", "ftp://a", "http://a/path", "http://me@a"] {
        let error = equipoise_tower::balanced_client([address]).unwrap_err();
        assert!(matches!(error, equipoise_tower::BalancedClientError::Endpoints(_)), "{address}: {error:?}");
    }
}
