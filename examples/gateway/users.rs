//! The users of a forward proxy or of the admin interface.

use std::{fs, path::PathBuf};

use equipoise::proxy::forward::{Credentials, Passwords};
use toml::Spanned;

use crate::source::{ConfigError, Source, causes};

/// What a line of the file with users must be.
const LINE: &str = "a line has the form NAME:HEX, with the SHA-256 of a random secret: \
                    `printf %s SECRET | sha256sum | cut -d' ' -f1`";

/// Reads a file with users. Each line has a name and the hash of the user's secret. Empty lines and those that begin with
/// `#` are left out.
pub(crate) fn read(file: &Spanned<PathBuf>, source: &Source) -> Result<Passwords, ConfigError> {
    let text = text(file, source)?;
    let (mut users, mut any) = (Passwords::new(), false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = line.rsplit_once(':').filter(|(name, _)| !name.is_empty() && !name.contains(':'));
        let Some((name, hash)) = entry.and_then(|(name, hex)| Some((name, sha256(hex)?))) else {
            return Err(wrong(file, number + 1, LINE, source));
        };
        users = users.user_sha256(name, hash);
        any = true;
    }
    match any {
        true => Ok(users),
        false => Err(wrong(file, 1, LINE, source)),
    }
}

/// Reads the name and the password that other proxies ask for.
pub(crate) fn credentials(file: &Spanned<PathBuf>, source: &Source) -> Result<Credentials, ConfigError> {
    let text = text(file, source)?;
    match text.lines().next().and_then(|line| line.trim().split_once(':')) {
        Some((name, password)) => Ok(Credentials::new(name, password)),
        None => Err(wrong(file, 1, "write NAME:PASSWORD", source)),
    }
}

fn text(file: &Spanned<PathBuf>, source: &Source) -> Result<String, ConfigError> {
    let failed = |error| format!("{}: {}", file.get_ref().display(), causes(&error));
    fs::read_to_string(source.path(file.get_ref())).map_err(|error| source.error(file.span(), failed(error)))
}

fn wrong(file: &Spanned<PathBuf>, line: usize, message: &str, source: &Source) -> ConfigError {
    source.error(file.span(), format_args!("{}:{line}: {message}", file.get_ref().display()))
}

/// Reads 32 bytes in hexadecimal digits.
fn sha256(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes().as_chunks::<2>();
    let mut hash = [0; 32];
    if digits.0.len() != hash.len() || !digits.1.is_empty() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(digits.0) {
        let digit = |digit: &u8| char::from(*digit).to_digit(16);
        *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(hash)
}
