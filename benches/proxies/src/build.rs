//! Builds the subjects that are part of this repository.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, ensure};

use crate::subject::Subject;

/// Builds the subjects that are written in Rust, as this program was built.
pub(crate) fn build(subjects: &[Subject]) -> anyhow::Result<()> {
    let own = env!("CARGO_MANIFEST_DIR");
    for subject in subjects {
        match subject {
            Subject::Nginx | Subject::Haproxy => {}
            Subject::Equipoise => cargo(&["--release", "--bin", "equipoise"], own)?,
            Subject::Bare => cargo(&["--release", "--bin", "bare"], own)?,
            Subject::Pingora => cargo(&["--release", "--bin", "pingora"], own)?,
            // The profile `bench` of the workspace has the settings of this package's profile `release`.
            Subject::Gateway => {
                let target = format!("{own}/target");
                let example = ["--profile", "bench", "--example", "gateway", "-p", "equipoise-gateway"];
                cargo(&[&example[..], &["--target-dir", &target]].concat(), &format!("{own}/../.."))?;
            }
        }
    }
    Ok(())
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
