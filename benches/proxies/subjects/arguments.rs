//! The arguments of all subjects: `LISTEN FROM TO BACKEND...`. `FROM` and `TO` are `http1` or `http2`: the version that
//! clients speak, and the version for the backends.

use anyhow::{Context, bail, ensure};

pub(crate) struct Arguments {
    pub(crate) listen: String,
    #[allow(dead_code, reason = "some subjects recognise the version of clients")]
    pub(crate) from_http2: bool,
    pub(crate) to_http2: bool,
    pub(crate) backends: Vec<String>,
}

impl Arguments {
    pub(crate) fn parse() -> anyhow::Result<Self> {
        let mut arguments = std::env::args().skip(1);
        let mut next = || arguments.next().context("the arguments are: LISTEN FROM TO BACKEND...");
        let listen = next()?;
        let (from_http2, to_http2) = (is_http2(&next()?)?, is_http2(&next()?)?);
        let backends: Vec<_> = arguments.collect();
        ensure!(!backends.is_empty(), "at least one backend is needed");
        Ok(Self { listen, from_http2, to_http2, backends })
    }
}

fn is_http2(version: &str) -> anyhow::Result<bool> {
    match version {
        "http1" => Ok(false),
        "http2" => Ok(true),
        other => bail!("{other} is not a version: use http1 or http2"),
    }
}
