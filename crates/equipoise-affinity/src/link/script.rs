use redis::{Cmd, ToRedisArgs, cmd};

/// A script in Lua.
pub struct Script {
    text: String,
    sha: String,
}

impl Script {
    /// Creates a script with this text.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { sha: redis::Script::new(&text).get_hash().to_owned(), text }
    }

    /// Returns the command that loads the script.
    pub fn load(&self) -> Cmd {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(&self.text);
        load
    }

    /// Returns the command that runs the script on some keys. It contains the SHA-1 of the script, or with `text`, the
    /// script itself.
    pub fn call(&self, keys: &[impl ToRedisArgs], text: bool) -> Cmd {
        let mut call = cmd(if text { "EVAL" } else { "EVALSHA" });
        call.arg(if text { &self.text } else { &self.sha }).arg(keys.len());
        keys.iter().for_each(|key| {
            call.arg(key);
        });
        call
    }
}
