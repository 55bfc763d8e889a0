//! Why a server cannot be used, as text.

use redis::{RedisError, ServerError};

/// Returns an error of a connection as text. It does not contain the text of the server, which may repeat a command with
/// a password.
pub(super) fn describe(error: &RedisError) -> String {
    match error.code() {
        // No other error of the handshake has this code.
        Some("ERR") => "it does not have the database of the URL".to_owned(),
        Some(code) => explain_code(code),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    }
}

/// Returns what an error reply means, as text. It does not contain the text of the server, which may repeat data of
/// requests.
pub fn explain(error: &ServerError) -> String {
    explain_code(code(error))
}

/// Returns whether an error says that the server can store nothing more for now: its memory is full, or it cannot save.
/// Too many keys cause both.
pub fn is_full(error: &ServerError) -> bool {
    matches!(code(error), "OOM" | "MISCONF")
}

/// Returns the code of an error. Before version 7, Redis puts the error of a command in a script into the text of another
/// one.
pub(super) fn code(error: &ServerError) -> &str {
    let inner = error.details().filter(|_| error.code() == "ERR").and_then(|text| text.rsplit_once(": -"));
    inner.and_then(|(_, inner)| inner.split(' ').next()).unwrap_or(error.code())
}

fn explain_code(code: &str) -> String {
    let meaning = match code {
        "CROSSSLOT" | "MOVED" | "ASK" | "CLUSTERDOWN" => {
            " (it is a node of a Redis Cluster, which is not supported: use a single server, or a prefix with a hash \
             tag and the server that has its slot)"
        }
        "LOADING" => " (it loads its data)",
        "MISCONF" => " (it cannot save its data)",
        "NOAUTH" | "WRONGPASS" => " (it wants another user or password)",
        "NOPERM" => " (the user may not use a command or a key)",
        "OOM" => " (its memory is full)",
        "READONLY" => " (it is a replica)",
        _ => "",
    };
    // Whatever is at the other end chooses the code.
    if code.len() > 32 || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return "it has answered an error".to_owned();
    }
    format!("it has answered {code}{meaning}")
}
