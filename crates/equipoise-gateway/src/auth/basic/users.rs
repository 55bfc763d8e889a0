use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    str::FromStr,
    sync::Arc,
};

use super::hash::{HashError, PasswordHash};
use crate::{
    Identity, Mechanism,
    auth::list::{attribute, lines},
};

/// A list of users with the hashes of their passwords.
///
/// It is parsed from text in the form of `htpasswd`, with one user in each line:
///
/// ```text
/// # user:hash[:attribute=value…]
/// ann:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$Oiu2YOFkrigqayNuUcUfJhVS/j7lC0vT+w+/DziLLVI
/// bob:$2y$10$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLoi:groups=ops,dev
/// ```
///
/// - `hash` is one of argon2id or argon2i in PHC form, or one of bcrypt (`$2y$`, `$2b$`, `$2a$`). `htpasswd -B` and
///   `argon2 … -id -e` print them. Other kinds are refused, because they protect passwords badly. bcrypt reads only the
///   first 72 bytes of a password, so a longer one is never accepted for such a hash: use argon2 for long passwords.
/// - Parameters are bounded, because each verification that runs costs them: argon2 at most 256 MiB, 16 passes and 16
///   lanes; bcrypt at most cost 16.
/// - Attributes become those of the [`Identity`], for example for [`Requirements`](crate::auth::Requirements). In their
///   names and values, a `:` is written as `%3A` and a `%` as `%25`.
/// - Empty lines, and lines that begin with `#`, are ignored.
#[derive(Clone, Default)]
pub struct Users {
    users: HashMap<Box<str>, Arc<User>>,
    /// Those of `users`, for names that are not in the list.
    all: Vec<Arc<User>>,
    choice: RandomState,
}

pub(super) struct User {
    pub(super) identity: Identity,
    pub(super) hash: PasswordHash,
}

/// A line that is not part of a list of users. Errors do not contain the line, in which a password may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUsers {
    /// The line has no name, or one with control characters, which no client can send.
    #[error("line {line}: the name is missing or has control characters: write `user:hash`")]
    Name {
        /// The number of the line, from 1.
        line: usize,
    },
    /// The kind of hash is not supported.
    #[error("line {line}: {kind} is not supported: set the password again with `htpasswd -B` or `argon2 … -id -e`")]
    Unsupported {
        /// The number of the line, from 1.
        line: usize,
        /// The name of the kind.
        kind: &'static str,
    },
    /// The hash cannot be read.
    #[error("line {line}: the hash cannot be read: it must be as `htpasswd -B` or `argon2 … -id -e` print it")]
    Hash {
        /// The number of the line, from 1.
        line: usize,
    },
    /// A verification would take too much time or memory.
    #[error("line {line}: the hash is too expensive: at most m=262144,t=16,p=16 for argon2, and cost 16 for bcrypt")]
    TooExpensive {
        /// The number of the line, from 1.
        line: usize,
    },
    /// The salt or the output is too short.
    #[error("line {line}: the hash is too weak: argon2 needs a salt of at least 8 bytes and an output of at least 16")]
    TooWeak {
        /// The number of the line, from 1.
        line: usize,
    },
    /// Two lines have the same user.
    #[error("line {line}: the user is in the list already: remove one of the lines")]
    Duplicate {
        /// The number of the second line, from 1.
        line: usize,
    },
    /// An attribute is not `name=value`.
    #[error("line {line}: an attribute must be `name=value`, with `%3A` for `:` and `%25` for `%`")]
    Attribute {
        /// The number of the line, from 1.
        line: usize,
    },
}

impl Users {
    /// Returns the number of users.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether the list has no user.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the user with this name, and true. If there is none, it returns another user, always the same for a
    /// name, and false: to verify against the hash of it takes as long as for a known name. `None` if the list is
    /// empty.
    pub(super) fn find(&self, name: &str) -> Option<(Arc<User>, bool)> {
        if let Some(user) = self.users.get(name) {
            return Some((user.clone(), true));
        }
        let len = u64::try_from(self.all.len()).ok()?;
        let at = usize::try_from(self.choice.hash_one(name).checked_rem(len)?).ok()?;
        Some((self.all.get(at)?.clone(), false))
    }
}

impl FromStr for Users {
    type Err = InvalidUsers;

    fn from_str(text: &str) -> Result<Self, InvalidUsers> {
        let mut users = Self::default();
        for (line, text) in lines(text) {
            let user = Arc::new(User::parse(text, line)?);
            if users.users.insert(user.identity.name().into(), user.clone()).is_some() {
                return Err(InvalidUsers::Duplicate { line });
            }
            users.all.push(user);
        }
        Ok(users)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("users", &self.all.len()).finish_non_exhaustive()
    }
}

impl User {
    fn parse(text: &str, line: usize) -> Result<Self, InvalidUsers> {
        let mut parts = text.split(':');
        let is_name = |name: &&str| !name.is_empty() && !name.chars().any(char::is_control);
        let name = parts.next().filter(is_name).ok_or(InvalidUsers::Name { line })?;
        let hash = PasswordHash::parse(parts.next().unwrap_or_default()).map_err(|error| match error {
            HashError::Unsupported(kind) => InvalidUsers::Unsupported { line, kind },
            HashError::Malformed => InvalidUsers::Hash { line },
            HashError::TooExpensive => InvalidUsers::TooExpensive { line },
            HashError::TooWeak => InvalidUsers::TooWeak { line },
        })?;
        let mut identity = Identity::new(name, Mechanism::Basic);
        for part in parts {
            let (name, value) = attribute(part).ok_or(InvalidUsers::Attribute { line })?;
            identity = identity.attribute(name, value);
        }
        Ok(Self { identity, hash })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BCRYPT: &str = "$2y$04$mWzPeKhZCCGFOGbPx89QQ.ehavLzHaKY0bR.WVymO7.YOc3QwM2Ka";

    #[test]
    fn users_have_attributes() {
        let text = format!("\u{feff}# users\n\nann:{BCRYPT}:groups=ops,dev:url=a%3Ab\r\n  jörg 100%:{BCRYPT}\n");
        let users: Users = text.parse().expect("users");
        let (ann, is_known) = users.find("ann").expect("a user");
        assert!(is_known && ann.hash.text() == BCRYPT);
        assert_eq!((ann.identity.get("groups"), ann.identity.get("url")), (Some("ops,dev"), Some("a:b")));
        assert!(users.find("jörg 100%").is_some_and(|(_, is_known)| is_known));
        assert_eq!(format!("{users:?}"), "Users { users: 2, .. }");
    }

    #[test]
    fn a_name_that_is_not_in_the_list_always_gets_the_same_hash() {
        let users: Users = format!("a:{BCRYPT}\nb:{BCRYPT}\nc:{BCRYPT}").parse().expect("users");
        for name in ["Ann", "", "ann "] {
            let name_of = || users.find(name).map(|(user, is_known)| (user.identity.name().to_owned(), is_known));
            assert!(name_of().is_some_and(|(_, is_known)| !is_known));
            assert_eq!(name_of(), name_of());
        }
        assert!(Users::default().find("a").is_none());
    }

    #[test]
    fn lines_that_are_no_users_are_refused_with_their_number() {
        let refused = |line: &str| format!("# users\n{line}\n").parse::<Users>().map(drop).expect_err("an error");
        assert_eq!(refused(&format!(":{BCRYPT}")), InvalidUsers::Name { line: 2 });
        assert_eq!(refused(&format!("a\u{7}:{BCRYPT}")), InvalidUsers::Name { line: 2 });
        for line in ["ann", "ann:", "ann:secret"] {
            let kind = "a plain password or DES crypt";
            assert_eq!(refused(line), InvalidUsers::Unsupported { line: 2, kind }, "{line}");
            assert!(!refused(line).to_string().contains("secret"));
        }
        assert_eq!(refused("ann:$2y$04$"), InvalidUsers::Hash { line: 2 });
        assert_eq!(refused(&format!("ann:{}", BCRYPT.replace("$04$", "$20$"))), InvalidUsers::TooExpensive { line: 2 });
        assert_eq!(refused(&format!("ann:{BCRYPT}:Ann")), InvalidUsers::Attribute { line: 2 });
        let twice = format!("ann:{BCRYPT}\nann:{BCRYPT}").parse::<Users>().map(drop);
        assert_eq!(twice, Err(InvalidUsers::Duplicate { line: 2 }));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(
            text in "(\\PC|[:=\n%$]|\\$2y\\$|\\$argon2id\\$v=19\\$m=[0-9]{1,12},t=2,p=1\\$[A-Za-z0-9+/]{0,40}){0,20}",
        ) {
            let _ = text.parse::<Users>();
        }
    }
}
