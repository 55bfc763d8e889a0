//! Wrong configurations: the error has the file, the line, and what would be right.

use std::{fs, io::ErrorKind, net::TcpListener};

use crate::process::{Folder, command};

/// Runs `--check`. Returns the exit code and what was written.
async fn check(config: &str) -> (Option<i32>, String) {
    check_in(&Folder::new(), config).await
}

async fn check_in(folder: &Folder, config: &str) -> (Option<i32>, String) {
    folder.write(config);
    let output = command(folder).arg("--check").output().await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), text)
}

/// Writes the files that the configurations name.
fn write_files(folder: &Folder) {
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("api-keys", "ada:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b:team=a\n");
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    write("issuer.pem", pem);
    write("private.pem", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n");
    write("plain", "ada:password\n");
    write("empty", "# nothing yet\n");
}

/// Checks that each case is refused with its error. A case is a text and a line `=> LINE: ERROR`.
async fn are_refused(before: &str, cases: &str) {
    for case in cases.split("\n\n") {
        let (text, error) = case.split_once("=> ").unwrap();
        let folder = Folder::new();
        write_files(&folder);
        let (code, written) = check_in(&folder, &format!("{before}{text}")).await;
        let expected = format!("error: gateway.toml:{}", error.trim_end());
        assert_eq!((code, written.trim_end()), (Some(1), expected.as_str()), "{text}");
    }
}

#[tokio::test]
async fn the_documented_configuration_is_valid() {
    let folder = Folder::new();
    write_files(&folder);
    let (code, text) = check_in(&folder, include_str!("../gateway.toml")).await;
    assert_eq!((code, text.as_str()), (Some(0), "gateway.toml is valid\n"));
}

#[tokio::test]
async fn wrong_files_are_refused_with_what_would_be_right() {
    are_refused("", include_str!("refused/file.txt")).await;
}

#[tokio::test]
async fn wrong_lines_of_a_pool_are_refused_with_what_would_be_right() {
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\npool = \"web\"\n";
    let pool = "[pool.web]\nendpoints = [{ id = \"a\", address = \"127.0.0.1:8001\" }]\n";
    are_refused(&format!("{listener}{pool}"), include_str!("refused/pool.txt")).await;
}

#[tokio::test]
async fn keys_and_pools_that_do_not_fit_the_mode_are_refused_with_what_would_be_right() {
    are_refused("", include_str!("refused/modes.txt")).await;
}

#[tokio::test]
async fn functions_that_are_wrong_or_would_leave_a_route_open_are_refused_with_what_would_be_right() {
    let pool = "[pool.web]\nendpoints = [{ address = \"127.0.0.1:8001\" }]\n";
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\npool = \"web\"\n";
    are_refused(&format!("{pool}{listener}"), include_str!("refused/functions.txt")).await;
}

#[tokio::test]
async fn a_check_does_not_connect_to_the_store_of_sessions() {
    let redis = TcpListener::bind("127.0.0.1:0").unwrap();
    redis.set_nonblocking(true).unwrap();
    let config = format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        endpoints = [{{ address = "a:1" }}]
        affinity = {{ kind = "header", name = "x-session", by = "redis", url = "redis://{}/0" }}
        "#,
        redis.local_addr().unwrap()
    );
    assert_eq!(check(&config).await.0, Some(0));
    assert_eq!(redis.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}
