//! Settings that cannot be used.

use std::{error::Error, path::PathBuf};

use equipoise_proxy::tls::{Certificate, ClientAuth, InvalidTls, TlsAcceptor, TlsSettings};

use crate::setup::Authority;

fn refused(settings: &TlsSettings) -> InvalidTls {
    let error = TlsAcceptor::new(settings).expect_err("not valid");
    // A check finds the same.
    assert_eq!(TlsAcceptor::check(settings).expect_err("not valid").to_string(), error.to_string());
    error
}

#[test]
fn unreadable_files_and_other_texts_are_named() {
    let authority = Authority::new("ca");
    let (chain, key) = authority.issue(&["app.test"]);
    let missing = PathBuf::from("/nowhere/app.pem");
    let error = Certificate::from_files(&missing, &missing).expect_err("no file");
    assert!(matches!(&error, InvalidTls::Unreadable { path, .. } if *path == missing));
    assert!(error.to_string().contains("/nowhere/app.pem") && error.source().is_some());

    let message = |chain: &str, key: &str| Certificate::from_pem(chain, key).expect_err("not valid").to_string();
    for (chain, key, texts) in [
        ("", &*key, ["the certificate chain has no certificate", "BEGIN CERTIFICATE"]),
        (&*key, &*key, ["the certificate chain has no certificate", "BEGIN CERTIFICATE"]),
        (&*chain, "", ["the private key has no private key", "not encrypted"]),
        (&*chain, &*chain, ["the private key has no private key", "BEGIN PRIVATE KEY"]),
        (&*chain.replace("END", "DNE"), &*key, ["the certificate chain is not valid PEM", "END line"]),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &*key,
            ["certificate 1 of the certificate chain", "X.509"],
        ),
        (
            &*format!("{chain}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            &*key,
            ["certificate 2", "X.509"],
        ),
    ] {
        let message = message(chain, key);
        assert!(texts.iter().all(|text| message.contains(text)), "{message}");
    }
    // Both may be in one text.
    let both = format!("{key}{chain}");
    assert!(TlsAcceptor::new(&TlsSettings::new(Certificate::from_pem(&both, &both).expect("valid PEM"))).is_ok());
}

#[test]
fn errors_do_not_contain_the_private_key() {
    let (chain, key) = Authority::new("ca").issue(&["app.test"]);
    let line = key.lines().nth(1).expect("base64");
    let bytes: Vec<_> = line.bytes().map(|byte| byte.to_string()).collect();
    let one_line = key.replace('\n', "");
    for (chain, key) in [(&*chain, &*one_line), (&*one_line, &*key), (&*chain, &*key.replace("END", "DNE"))] {
        let error = Certificate::from_pem(chain, key).expect_err("not valid");
        let mut text = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!("{error} {error:?}"));
            source = error.source();
        }
        assert!(!text.contains(&line[..8]) && !text.contains(&bytes[..8].join(", ")), "{text}");
    }
}

#[test]
fn keys_of_other_certificates_are_refused() {
    let authority = Authority::new("ca");
    let ((chain, key), (other_chain, other_key)) = (authority.issue(&["app.test"]), authority.issue(&["other.test"]));
    let error = refused(&TlsSettings::new(Certificate::from_pem(&chain, &other_key).expect("valid PEM")));
    assert!(matches!(error, InvalidTls::KeyMismatch { .. }), "{error}");
    // The issuer must not be first.
    let turned = Certificate::from_pem(format!("{}{chain}", authority.0.pem()), &key).expect("valid PEM");
    assert!(refused(&TlsSettings::new(turned)).to_string().contains("before those of its issuers"));
    let good = Certificate::from_pem(&other_chain, &other_key).expect("valid PEM");
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let broken = Certificate::from_pem(&chain, broken).expect("valid PEM");
    let error = refused(&TlsSettings::new(good).certificate(broken));
    assert!(matches!(error, InvalidTls::Key { .. }) && error.source().is_some(), "{error}");
}

#[test]
fn certificates_need_names() {
    let authority = Authority::new("ca");
    let nameless = || authority.certificate(&[]);
    assert!(TlsAcceptor::new(&TlsSettings::new(nameless())).is_ok());
    assert!(TlsAcceptor::check(&TlsSettings::new(nameless())).is_ok());
    for settings in [
        TlsSettings::new(nameless()).strict_sni(true),
        TlsSettings::new(authority.certificate(&["app.test"])).certificate(nameless()),
    ] {
        assert!(matches!(refused(&settings), InvalidTls::NoName { .. }));
    }
    for name in ["", "*", "*.", "a b.test", "app.test:443", "https://app.test", "a.*.test", "192.0.2.1", "é.test"] {
        let error = refused(&TlsSettings::new(nameless().names([name])));
        assert!(matches!(&error, InvalidTls::Name { name: refused, .. } if refused == name), "{error}");
    }
}

#[test]
fn settings_for_clients_and_protocols_are_checked() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let certificate = || authority.certificate(&["app.test"]);
    let error = ClientAuth::from_pem(clients.issue(&[]).1).expect_err("a key");
    assert!(matches!(error, InvalidTls::Empty { .. }));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(ClientAuth::from_pem(garbage), Err(InvalidTls::ClientAuth { .. })));
    let garbage = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let error = clients.client_auth().revocation_lists(garbage).expect_err("no list");
    assert!(error.to_string().contains("the revocation lists cannot be used"), "{error}");
    let error = clients.client_auth().revocation_list_file("/nowhere/clients.crl").expect_err("no file");
    assert!(error.to_string().contains("/nowhere/clients.crl"), "{error}");
    assert!(matches!(clients.client_auth().revocation_lists(""), Err(InvalidTls::Empty { .. })));

    let settings = TlsSettings::new(certificate()).certificate(certificate().client_auth(clients.client_auth()));
    assert!(matches!(refused(&settings), InvalidTls::ClientAuthConflict { name } if name == "app.test"));
    for protocol in [String::new(), "a".repeat(256)] {
        assert!(matches!(refused(&TlsSettings::new(certificate()).alpn([protocol])), InvalidTls::Alpn));
    }
}

#[test]
fn ocsp_responses_must_be_successful() {
    let certificate = || Authority::new("ca").certificate(&["app.test"]);
    // The status "tryLater", no content, trailing bytes, PEM, and nothing.
    for der in [&[0x30, 3, 10, 1, 3][..], &[0x30, 3, 10, 1, 0], &[0x30, 5, 10, 1, 0, 0xa0, 0, 0], b"-----BEGIN", b""] {
        assert!(matches!(certificate().ocsp_response(der), Err(InvalidTls::Ocsp { .. })), "{der:?}");
    }
    assert!(certificate().ocsp_response([0x30, 5, 10, 1, 0, 0xa0, 0]).is_ok());
    assert!(matches!(certificate().ocsp_file("/nowhere"), Err(InvalidTls::Unreadable { .. })));
}
