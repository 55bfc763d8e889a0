//! The text of a configuration file, and errors that name the file and the line.

use std::{
    error::Error,
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
};

use equipoise::spec::most_similar;

/// The text of a configuration file.
pub(crate) struct Source {
    file: String,
    /// The folder of the file.
    folder: PathBuf,
    pub(crate) text: String,
}

/// What is wrong with the configuration. The text begins with the file and the line, such as `gateway.toml:7: …`.
#[derive(Debug)]
pub(crate) struct ConfigError(String);

impl Source {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self { file, folder: path.parent().map(Path::to_owned).unwrap_or_default(), text }),
            Err(error) => Err(ConfigError(format!("{file}: the file cannot be read: {error}"))),
        }
    }

    /// Returns the path of another file. Relative paths begin at the folder of this file.
    pub(crate) fn path(&self, other: &Path) -> PathBuf {
        self.folder.join(other)
    }

    /// Creates an error about the bytes `span` of the text.
    pub(crate) fn error(&self, span: Range<usize>, message: impl fmt::Display) -> ConfigError {
        let line = self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1;
        ConfigError(format!("{}:{line}: {message}", self.file))
    }

    /// Creates an error about the bytes `span` of the text from an error of the library, with its causes.
    pub(crate) fn caused(&self, span: Range<usize>, error: &dyn Error) -> ConfigError {
        self.error(span, causes(error))
    }

    /// Reads the text as the tables of a configuration.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(&self.text).map_err(|error| self.wrong(&error))
    }

    /// Creates an error from one of the parser.
    pub(crate) fn wrong(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        if let Some(name) =
            self.header_at(span.start).filter(|_| error.message() == "invalid type: map, expected a sequence")
        {
            return self
                .error(span, format_args!("there can be several of [{name}]: write it with two brackets: [[{name}]]"));
        }
        let message = explained(error.message());
        match self.key_of(span.start) {
            Some(key) => self.error(span, format_args!("{key}: {message}")),
            None => self.error(span, message),
        }
    }

    /// Returns the name of the table whose header begins at a byte of the text, such as `[listener]`.
    fn header_at(&self, header: usize) -> Option<&str> {
        let is_first = self.text.get(..header)?.rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
        let name = self.text.get(header..)?.strip_prefix('[')?.split(']').next()?.trim();
        Some(name).filter(|name| is_first && !name.is_empty() && !name.starts_with('['))
    }

    /// Returns the key of the value that begins at a byte of the text.
    fn key_of(&self, value: usize) -> Option<&str> {
        let key = self.text.get(..value)?.trim_end().strip_suffix('=')?.trim_end();
        let end = |c: char| c.is_whitespace() || matches!(c, '{' | '[' | ',');
        Some(key.rsplit(end).next()?.trim_matches('"')).filter(|key| !key.is_empty())
    }
}

/// Returns the text of an error and of its causes: `what failed: why: why`.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Returns a message of serde in the words of the file, and the known name that was probably meant.
fn explained(message: &str) -> String {
    let wrong = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
    match wrong.and_then(|rest| rest.split_once(", expected ")) {
        Some((found, "a sequence")) if found.starts_with("string ") => {
            let text = found.trim_start_matches("string ");
            format!("found {found}: write a list in brackets: [{text}]")
        }
        Some((found, valid)) => format!("found {found}: write {}", in_words(valid)),
        None if message == "wanted string or table" => format!("write {}", in_words("a string")),
        None => format!("{message}{}", suggestion(message)),
    }
}

/// Returns what a type of Rust is called in the file.
fn in_words(valid: &str) -> &str {
    match valid {
        "a string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in brackets",
        "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        valid => valid,
    }
}

/// Returns which known name was probably meant. Serde's message has the unknown name and then the known ones, each in
/// backticks.
fn suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next().filter(|_| message.starts_with("unknown")) else { return String::new() };
    most_similar(unknown, names).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConfigError {}
