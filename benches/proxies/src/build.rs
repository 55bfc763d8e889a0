//! Builds the subjects that are part of this repository.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, ensure};

const OWN: &str = env!("CARGO_MANIFEST_DIR");

/// Builds a program of this package, as this program was built, with further arguments for cargo.
pub(crate) fn program(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    cargo(&[&["--release", "--bin", name], arguments].concat(), OWN)
}

/// Builds the example `gateway` with the same settings, which the profile `bench` of its workspace has.
pub(crate) fn gateway() -> anyhow::Result<()> {
    let target = format!("{OWN}/target");
    let example = ["--profile", "bench", "--example", "gateway", "-p", "equipoise-gateway-example"];
    cargo(&[&example[..], &["--target-dir", &target]].concat(), &format!("{OWN}/../.."))
}

fn cargo(arguments: &[&str], directory: &str) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).arg("build").args(arguments).current_dir(directory).status()?;
    ensure!(status.success(), "cargo build {} has failed", arguments.join(" "));
    Ok(())
}

/// Returns the path of a program that was built. Its path is relative to that of this program.
pub(crate) fn built(program: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    Ok(own.parent().context("the program has a directory")?.join(program))
}
