//! hyper's server over hyper-util's client, with rustls, on one thread. The arguments are
//! `LISTEN PROVIDER CERTIFICATE KEY BACKEND...`. The provider of cryptography is `aws-lc-rs` or `ring`; the certificate and
//! its key are files in PEM.

use std::sync::Arc;

use anyhow::{Context, bail};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    crypto::{aws_lc_rs, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[path = "hyper_proxy.rs"]
mod hyper_proxy;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("the arguments are: LISTEN PROVIDER CERTIFICATE KEY BACKEND...");
    let (listen, provider) = (next()?, next()?);
    let certificate = CertificateDer::pem_file_iter(next()?)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(next()?)?;
    let proxy = service_fn(hyper_proxy::proxy(&next()?, false)?);
    let provider = match provider.as_str() {
        "aws-lc-rs" => aws_lc_rs::default_provider(),
        "ring" => ring::default_provider(),
        other => bail!("{other} is not a provider: use aws-lc-rs or ring"),
    };
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificate, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, proxy) = (acceptor.clone(), proxy.clone());
        tokio::spawn(async move {
            let stream = acceptor.accept(stream).await?;
            http1::Builder::new().serve_connection(TokioIo::new(stream), proxy).await.map_err(anyhow::Error::from)
        });
    }
}
