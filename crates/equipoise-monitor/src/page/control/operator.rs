use std::{fmt, sync::Arc};

use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::page::reply::Problem;

/// Decides who may change endpoints.
pub(in crate::page) type Authorise = Arc<dyn Fn(&Parts) -> Result<Operator, Refused> + Send + Sync>;

/// A person or a program that may change endpoints. Returned by the authoriser of
/// [`StatusPage::allow_changes`](crate::page::StatusPage::allow_changes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub(in crate::page) name: String,
}

impl Operator {
    /// Creates an operator. Events of its commands contain the name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// Why a request may not change endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The realm that the browser shows.
    Unauthenticated(String),
    Forbidden,
}

impl Refused {
    /// The request does not say who sends it, or its password is wrong. The answer is `401 Unauthorized` with the
    /// challenge `Basic`, so that browsers ask for a name and a password. `realm` says for what. Characters that are not
    /// printable ASCII, quotes and backslashes are left out.
    #[must_use]
    pub fn unauthenticated(realm: &str) -> Self {
        let is_plain = |c: &char| (' '..='~').contains(c) && !matches!(c, '"' | '\\');
        Self(Kind::Unauthenticated(realm.chars().filter(is_plain).collect()))
    }

    /// It is known who sends the request, but changes are not permitted to this sender. The answer is `403 Forbidden`.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self(Kind::Forbidden)
    }

    pub(in crate::page) fn problem(&self) -> Problem {
        match &self.0 {
            Kind::Unauthenticated(realm) => {
                let problem = Problem::new(StatusCode::UNAUTHORIZED, self.to_string());
                match HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")) {
                    Ok(challenge) => problem.with(header::WWW_AUTHENTICATE, challenge),
                    Err(_) => problem,
                }
            }
            Kind::Forbidden => Problem::new(StatusCode::FORBIDDEN, self.to_string()),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Unauthenticated(_) => "changes need a name and a password",
            Kind::Forbidden => "changes are not permitted to this user",
        })
    }
}

impl std::error::Error for Refused {}
