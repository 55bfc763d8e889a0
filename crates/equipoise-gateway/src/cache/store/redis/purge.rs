//! Purges of a store in Redis.

use std::sync::atomic::Ordering::Relaxed;

use redis::{Value, cmd};

use super::{
    super::{Key, Purge},
    RedisStore,
    script::{Kind, place},
};

impl RedisStore {
    /// Notes a purge in the table, and removes the entries of one name. Returns how many that were.
    async fn purge_place(&self, name: Vec<u8>, place: &str) -> usize {
        let keys = [name, self.table()];
        let call = |text| {
            let mut call = self.scripts.purge.call(&keys, text);
            call.arg(place);
            call
        };
        match self.server.run(self.write_timeout, call).await {
            Some(Value::Int(count)) => usize::try_from(count).unwrap_or(0),
            Some(_) => {
                self.counters.invalid.fetch_add(1, Relaxed);
                0
            }
            None => 0,
        }
    }

    pub(super) async fn remove_key(&self, key: Key) -> usize {
        if let Some(local) = &self.local {
            local.forget(&key);
        }
        let place = place(Kind::Key, &[key.url().as_bytes(), b"\0", key.extra()].concat());
        let removed = self.purge_place(self.name(&key), &place).await;
        if let Some(local) = &self.local {
            local.forget(&key);
        }
        removed
    }

    pub(super) async fn remove_all(&self, what: Purge) -> usize {
        if let Some(local) = &self.local {
            local.clear();
        }
        // A name that no key has.
        let none = || format!("{}-", self.prefix).into_bytes();
        let removed = match what {
            Purge::Url(url) => {
                let name = Key::new(&url, b"").map_or_else(none, |key| self.name(&key));
                self.purge_place(name, &place(Kind::Url, url.as_bytes())).await.min(1)
            }
            Purge::Tag(tag) => self.purge_place(none(), &place(Kind::Tag, tag.as_str().as_bytes())).await,
            Purge::All => self.purge_place(none(), "f").await,
            Purge::Prefix(prefix) => {
                // First: what is stored from now on was requested after the purge has begun.
                self.purge_place(none(), "x").await;
                self.scan(&prefix).await
            }
        };
        if let Some(local) = &self.local {
            local.clear();
        }
        removed
    }

    /// Removes the keys with URLs that begin with a text. Ends early if the server fails.
    async fn scan(&self, prefix: &str) -> usize {
        let pattern = format!("{}e:*:{}*", escape(&self.prefix), escape(prefix));
        let (mut cursor, mut removed) = (String::from("0"), 0);
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let Some(Value::Array(answer)) = self.server.run(self.write_timeout, |_| scan.clone()).await else {
                return removed;
            };
            let (Some(Value::BulkString(next)), Some(Value::Array(names))) = (answer.first(), answer.get(1)) else {
                return removed;
            };
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
                let Some(Value::Int(count)) = self.server.run(self.write_timeout, |_| unlink.clone()).await else {
                    return removed;
                };
                removed += usize::try_from(count).unwrap_or(0);
            }
            cursor = String::from_utf8_lossy(next).into_owned();
            if cursor == "0" {
                return removed;
            }
        }
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
