//! Purges of a store in Redis.

use std::sync::atomic::Ordering::Relaxed;

use redis::{Value, cmd};

use super::{
    super::{Key, Purge, StoreError},
    RedisStore,
    operations::OperationError,
    script::{Kind, place},
};

impl RedisStore {
    /// Notes a purge in the table, and removes the entries of one name. Returns how many that were.
    async fn purge_place(&self, name: Vec<u8>, place: &str) -> Result<usize, OperationError> {
        let keys = [name, self.table()];
        let call = |text| {
            let mut call = self.scripts.purge.call(&keys, text);
            call.arg(place);
            call
        };
        let answer = self.server.run(self.write_timeout, call).await?;
        self.count(&answer)
    }

    pub(super) async fn remove_key(&self, key: Key) -> Result<usize, StoreError> {
        if let Some(local) = &self.local {
            local.forget(&key);
        }
        let place = place(Kind::Key, &[key.url().as_bytes(), b"\0", key.extra()].concat());
        let removed = self.purge_place(self.name(&key), &place).await;
        if let Some(local) = &self.local {
            local.forget(&key);
        }
        removed.map_err(StoreError::new)
    }

    pub(super) async fn remove_all(&self, what: Purge) -> Result<usize, StoreError> {
        if let Some(local) = &self.local {
            local.clear();
        }
        // A name that no key has.
        let none = || format!("{}-", self.prefix).into_bytes();
        let removed = match what {
            Purge::Url(url) => {
                let name = Key::new(&url, b"").map_or_else(none, |key| self.name(&key));
                let removed = self.purge_place(name, &place(Kind::Url, url.as_bytes())).await;
                removed.map(|variants| variants.min(1))
            }
            Purge::Tag(tag) => self.purge_place(none(), &place(Kind::Tag, tag.as_str().as_bytes())).await,
            Purge::All => self.purge_place(none(), "f").await,
            // First: what is stored from now on was requested after the purge has begun.
            Purge::Prefix(prefix) => match self.purge_place(none(), "x").await {
                Ok(_) => self.scan(&prefix).await,
                failed => failed,
            },
        };
        if let Some(local) = &self.local {
            local.clear();
        }
        removed.map_err(StoreError::new)
    }

    /// Removes the keys with URLs that begin with a text. Ends early if the server fails.
    async fn scan(&self, prefix: &str) -> Result<usize, OperationError> {
        let pattern = format!("{}e:*:{}*", escape(&self.prefix), escape(prefix));
        let (mut cursor, mut removed) = (String::from("0"), 0);
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let answer = self.server.run(self.write_timeout, |_| scan.clone()).await?;
            let Value::Array(answer) = answer else { return Err(self.invalid()) };
            let [Value::BulkString(next), Value::Array(names)] = &answer[..] else { return Err(self.invalid()) };
            let mut unlink = cmd("UNLINK");
            let mut any = false;
            for name in names {
                if let Value::BulkString(name) = name
                    && self.url_of(name).is_some_and(|url| url.starts_with(prefix.as_bytes()))
                {
                    unlink.arg(&name[..]);
                    any = true;
                }
            }
            if any {
                let answer = self.server.run(self.write_timeout, |_| unlink.clone()).await?;
                removed += self.count(&answer)?;
            }
            cursor = String::from_utf8_lossy(next).into_owned();
            if cursor == "0" {
                return Ok(removed);
            }
        }
    }

    /// Reads how many the server has removed.
    fn count(&self, answer: &Value) -> Result<usize, OperationError> {
        match answer {
            Value::Int(count) => Ok(usize::try_from(*count).unwrap_or(0)),
            _ => Err(self.invalid()),
        }
    }

    /// Counts an answer that cannot be read.
    fn invalid(&self) -> OperationError {
        self.counters.invalid.fetch_add(1, Relaxed);
        OperationError::Invalid
    }

    /// Returns the URL in the name of a key.
    fn url_of<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        let rest = name.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"e:")?;
        let colon = rest.iter().take(8).position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(rest.get(..colon)?).ok()?.parse().ok()?;
        rest.get(colon + 1..)?.get(..length)
    }
}

/// Escapes what has a meaning in a pattern of Redis.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
