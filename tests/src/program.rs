use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::soon;

/// Returns the path of a program on `PATH` or in `/usr/sbin`, where Debian has some servers. If it is not installed,
/// prints `SKIPPED` with the Debian package that contains it, and returns `None`.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let found = programs(name).next();
    if found.is_none() {
        eprintln!("SKIPPED: no {name} on PATH (Debian: apt-get install {package})");
    }
    found
}

/// Returns the path of a Python 3 that has a module. If there is none, prints `SKIPPED` with the Debian package that
/// contains the module, and returns `None`.
pub fn python_with(module: &str) -> Option<PathBuf> {
    // The first Python on PATH may be another one than Debian's, for which Debian's packages are not installed.
    let can_import = |python: &PathBuf| {
        let mut import = std::process::Command::new(python);
        import.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    let found = programs("python3").find(can_import);
    if found.is_none() {
        eprintln!("SKIPPED: no python3 with the module {module} (Debian: apt-get install python3-{module})");
    }
    found
}

/// The output of a client that has ended with success.
#[derive(Debug)]
pub struct Output {
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// Runs a client to its end, without a forward proxy.
///
/// # Panics
///
/// The client cannot be started, has failed, or has not ended after a minute.
pub async fn run<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("NO_PROXY", "*").env("no_proxy", "*").stdin(Stdio::null()).kill_on_drop(true);
    let output = soon(command.output()).await.expect("a program that can be started");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    Output { stdout, stderr }
}

fn programs(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).collect();
    folders.into_iter().map(move |folder| folder.join(name)).filter(|file| file.is_file())
}
