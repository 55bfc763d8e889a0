//! The functions of a gateway that are measured: how nginx and the gateway are configured for each.

use std::path::Path;

/// A user, with a bcrypt hash of the password. Its cost is 4, which is the least, because nginx computes it for
/// each request.
const USERS: &str = "user:$2y$04$taDFxiR5ZPyS0F2CWtLoeO9IEqgsF5dD5pq6wXKfs7zP679JmAhXy\n";
/// The name and the password in the form of HTTP Basic.
const AUTHORIZATION: &str = "Authorization: Basic dXNlcjpwYXNzd29yZC1vZi1iZW5jaA==";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// Every response comes from the cache.
    Cache,
    /// Every response is compressed with gzip.
    Gzip,
    /// Every request passes a limit by the address of the client.
    RateLimit,
    /// Every request has a password.
    BasicAuth,
    /// A backend is asked whether a request is allowed, for each request.
    ExternalAuth,
    /// Every request passes a limit of the requests in flight by the address of the client.
    InFlight,
    /// Every request passes a list of address ranges.
    Addresses,
    /// Every response gets two fields.
    Fields,
    /// Every request is redirected.
    Redirect,
    /// A text is searched in every response, and not found.
    Replace,
}

impl Function {
    /// Returns the field that clients send.
    pub(crate) const fn field(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("Accept-Encoding: gzip"),
            Self::BasicAuth => Some(AUTHORIZATION),
            _ => None,
        }
    }

    /// Returns the argument of the program `equipoise_functions`.
    pub(crate) fn argument(self) -> String {
        match self {
            Self::Cache => "cache".to_owned(),
            Self::Gzip => "gzip".to_owned(),
            Self::RateLimit => "rate-limit".to_owned(),
            Self::BasicAuth => format!("basic-auth={USERS}"),
            Self::ExternalAuth => "external-auth".to_owned(),
            Self::InFlight => "in-flight".to_owned(),
            Self::Addresses => "addresses".to_owned(),
            Self::Fields => "fields".to_owned(),
            Self::Redirect => "redirect".to_owned(),
            Self::Replace => "replace".to_owned(),
        }
    }

    /// Returns the text of the file with the users, `users`. The gateway and nginx read the same form.
    pub(crate) const fn users(self) -> Option<&'static str> {
        match self {
            Self::BasicAuth => Some(USERS),
            _ => None,
        }
    }

    /// Returns the directives of nginx: those of the block `http`, and those of the location.
    pub(crate) fn nginx(self, directory: &Path) -> (String, String) {
        let directory = directory.display();
        match self {
            Self::Cache => (
                format!(
                    "proxy_cache_path {directory}/cache keys_zone=cache:8m max_size=100m inactive=600m \
                     use_temp_path=off; open_file_cache max=1000;"
                ),
                "proxy_cache cache; proxy_cache_revalidate on;".to_owned(),
            ),
            // Level 6, which is the gateway's default.
            Self::Gzip => (String::new(), "gzip on; gzip_comp_level 6; gzip_types *; gzip_proxied any;".to_owned()),
            Self::RateLimit => (
                "limit_req_zone $binary_remote_addr zone=limit:8m rate=1000000r/s;".to_owned(),
                "limit_req zone=limit burst=1000000 nodelay;".to_owned(),
            ),
            Self::BasicAuth => {
                (String::new(), format!("auth_basic \"bench\"; auth_basic_user_file {directory}/users;"))
            }
            Self::ExternalAuth => (
                String::new(),
                "auth_request /auth; location = /auth { internal; proxy_pass http://backends/small; \
                 proxy_pass_request_body off; proxy_http_version 1.1; }"
                    .to_owned(),
            ),
            Self::InFlight => (
                "limit_conn_zone $binary_remote_addr zone=connections:8m;".to_owned(),
                "limit_conn connections 10000;".to_owned(),
            ),
            Self::Addresses => {
                (String::new(), "allow 10.0.0.0/8; allow 192.168.0.0/16; allow 127.0.0.0/8; deny all;".to_owned())
            }
            Self::Fields => (
                String::new(),
                "add_header X-Content-Type-Options nosniff always; add_header X-Frame-Options DENY always;".to_owned(),
            ),
            Self::Redirect => (String::new(), "return 308 http://other.test$request_uri;".to_owned()),
            Self::Replace => {
                (String::new(), "sub_filter_types *; sub_filter http://inner.test/ https://www.test/;".to_owned())
            }
        }
    }

    /// Returns the keys of the gateway: those of the listener, and the tables beside it.
    pub(crate) const fn gateway(self) -> (&'static str, &'static str) {
        match self {
            Self::Cache => ("cache = true\n", "[cache.main]\nmax_bytes = 100000000\n"),
            Self::Gzip => ("compression = { encoding = [\"gzip\"], level = { gzip = 6 } }\n", ""),
            Self::RateLimit => (
                "limit = { rate = [{ quota = \"1000000/s\", burst = 1000000, by = \"client\" }], headers = \"none\" }\n",
                "",
            ),
            Self::BasicAuth => ("auth = { basic = { users_file = \"users\" } }\n", ""),
            Self::ExternalAuth => ("auth = { external = { pool = \"web\", uri = \"/small\" } }\n", ""),
            Self::InFlight => ("limit = { in_flight = [{ max = 10000, by = \"client\" }] }\n", ""),
            Self::Addresses => (
                "filter = { default = \"deny\", rule = [{ action = \"allow\", address = [\"10.0.0.0/8\", \"192.168.0.0/16\", \
                 \"127.0.0.0/8\"] }] }\n",
                "",
            ),
            Self::Fields => (
                "response_headers = { set = { x-content-type-options = \"nosniff\", x-frame-options = \"DENY\" } }\n",
                "",
            ),
            Self::Redirect => ("redirect = [{ path_prefix = \"/\", to = \"http://other.test/\" }]\n", ""),
            Self::Replace => (
                "response_body = { replace = [{ find = \"http://inner.test/\", with = \"https://www.test/\" }] }\n",
                "",
            ),
        }
    }
}
