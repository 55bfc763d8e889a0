//! Compile errors of common mistakes, and the hints that they must contain.
//!
//! Each file in `cases` is a program that depends on the facade with the feature `tower` only. Its first lines state
//! what is expected: `//! hint: ` with a text that the compiler's output must contain, or `//! compiles`. Only these
//! texts are compared, because the rest of the output changes with the compiler.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const MANIFEST: &str = r#"
[package]
name = "hints"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
axum = { version = "0.8", default-features = false, features = ["http1", "tokio"] }
equipoise = { path = "FACADE", default-features = false, features = ["tower"] }
http = "1"
hyper = { version = "1", features = ["http1", "server"] }
hyper-util = { version = "0.1", features = ["client-legacy", "http1", "service", "tokio"] }
tokio = { version = "1", features = ["net"] }
tonic = { version = "0.14", default-features = false, features = ["channel", "codegen"] }
tonic-health = { version = "0.14", default-features = false }
tower = { version = "0.5", features = ["util"] }
"#;

#[test]
fn compile_errors_name_the_solution() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cases = cases(&root.join("tests/hints/cases"));
    let output = check(root, &cases);
    let mut failures = String::new();
    for (name, (_, expected)) in &cases {
        let said = output.get(name).map_or("", String::as_str);
        let right = match expected {
            Expected::Compiles => !said.contains("error"),
            Expected::Hints(hints) => hints.iter().all(|hint| said.contains(hint)),
        };
        if !right {
            failures += &format!("=== {name}: expected {expected:?}, the compiler said:\n{said}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[derive(Debug)]
enum Expected {
    Compiles,
    Hints(Vec<String>),
}

fn cases(folder: &Path) -> BTreeMap<String, (PathBuf, Expected)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let hints: Vec<_> =
                text.lines().filter_map(|line| line.strip_prefix("//! hint: ")).map(str::to_owned).collect();
            assert!(text.starts_with("//! compiles") || !hints.is_empty(), "{name} does not say what is expected");
            let expected = if text.starts_with("//! compiles") { Expected::Compiles } else { Expected::Hints(hints) };
            (name, (path, expected))
        })
        .collect()
}

/// Returns the compiler output of each case.
fn check(root: &Path, cases: &BTreeMap<String, (PathBuf, Expected)>) -> BTreeMap<String, String> {
    let target = root.join("target/hints");
    let project = target.join("project");
    fs::create_dir_all(project.join("src")).unwrap();
    let mut manifest = MANIFEST.replace("FACADE", root.join("crates/equipoise").to_str().unwrap());
    for (name, (path, _)) in cases {
        manifest += &format!("\n[[bin]]\nname = \"{name}\"\npath = \"{}\"\n", path.to_str().unwrap());
    }
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    // The versions of the workspace, which are available without a network.
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--bins", "--keep-going", "--offline", "--message-format=json"])
        .current_dir(&project)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    let mut said = BTreeMap::<String, String>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        if let (Some(target), Some(text)) =
            (message["target"]["name"].as_str(), message["message"]["rendered"].as_str())
        {
            said.entry(target.to_owned()).or_default().push_str(text);
        }
    }
    let finished = cases.keys().any(|name| said.get(name).is_some_and(|said| said.contains("error")));
    assert!(finished, "cargo failed before the cases:\n{}", String::from_utf8_lossy(&output.stderr));
    said
}
