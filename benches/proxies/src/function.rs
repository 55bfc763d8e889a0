//! The functions of gateways that are measured: how nginx and the gateway are configured for each.

/// How one function is measured. Paths are relative to the directory of the process.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    /// The name for the program `equipoise_functions`.
    name: &'static str,
    /// The field that clients send.
    pub(crate) field: Option<&'static str>,
    /// The text of the file `users`. The gateway and nginx read the same form.
    pub(crate) users: Option<&'static str>,
    /// The directives of nginx in the block `http`.
    pub(crate) nginx_http: &'static str,
    /// The directives of nginx in the location.
    pub(crate) nginx_location: &'static str,
    /// The key of the gateway's listener.
    pub(crate) gateway_listener: &'static str,
    /// The tables of the gateway beside the listener.
    pub(crate) gateway_tables: &'static str,
}

impl Function {
    /// No function.
    pub(crate) const NONE: Self = Self {
        name: "",
        field: None,
        users: None,
        nginx_http: "",
        nginx_location: "",
        gateway_listener: "",
        gateway_tables: "",
    };

    /// Every response comes from the cache.
    pub(crate) const CACHE: Self = Self {
        name: "cache",
        nginx_http: "proxy_cache_path cache keys_zone=cache:8m max_size=100m inactive=600m use_temp_path=off; \
                     open_file_cache max=1000;",
        nginx_location: "proxy_cache cache; proxy_cache_revalidate on;",
        gateway_listener: "cache = true",
        gateway_tables: "[cache.main]\nmax_bytes = 100000000",
        ..Self::NONE
    };

    /// Every response is compressed with gzip at level 6.
    pub(crate) const GZIP: Self = Self {
        name: "gzip",
        field: Some("Accept-Encoding: gzip"),
        nginx_location: "gzip on; gzip_comp_level 6; gzip_types *; gzip_proxied any;",
        gateway_listener: r#"compression = { encoding = ["gzip"], level = { gzip = 6 } }"#,
        ..Self::NONE
    };

    /// Every request passes a limit by the address of the client.
    pub(crate) const RATE_LIMIT: Self = Self {
        name: "rate-limit",
        nginx_http: "limit_req_zone $binary_remote_addr zone=limit:8m rate=1000000r/s;",
        nginx_location: "limit_req zone=limit burst=1000000 nodelay;",
        gateway_listener: r#"limit = { rate = [{ quota = "1000000/s", burst = 1000000, by = "client" }], headers = "none" }"#,
        ..Self::NONE
    };

    /// Every request has a password. The hash is one of bcrypt. Its cost is 4, which is the least, because nginx computes
    /// it for each request.
    pub(crate) const BASIC_AUTH: Self = Self {
        name: "basic-auth",
        field: Some("Authorization: Basic dXNlcjpwYXNzd29yZC1vZi1iZW5jaA=="),
        users: Some("user:$2y$04$taDFxiR5ZPyS0F2CWtLoeO9IEqgsF5dD5pq6wXKfs7zP679JmAhXy\n"),
        nginx_location: "auth_basic \"bench\"; auth_basic_user_file users;",
        gateway_listener: r#"auth = { basic = { users_file = "users" } }"#,
        ..Self::NONE
    };

    /// A backend is asked whether a request is allowed, for each request.
    pub(crate) const EXTERNAL_AUTH: Self = Self {
        name: "external-auth",
        nginx_location: "auth_request /auth; location = /auth { internal; proxy_pass http://backends/small; \
                         proxy_pass_request_body off; proxy_http_version 1.1; }",
        gateway_listener: r#"auth = { external = { pool = "web", uri = "/small" } }"#,
        ..Self::NONE
    };

    /// Every request passes a limit of the requests in flight by the address of the client.
    pub(crate) const IN_FLIGHT: Self = Self {
        name: "in-flight",
        nginx_http: "limit_conn_zone $binary_remote_addr zone=connections:8m;",
        nginx_location: "limit_conn connections 10000;",
        gateway_listener: r#"limit = { in_flight = [{ max = 10000, by = "client" }] }"#,
        ..Self::NONE
    };

    /// Every request passes a list of address ranges.
    pub(crate) const ADDRESSES: Self = Self {
        name: "addresses",
        nginx_location: "allow 10.0.0.0/8; allow 192.168.0.0/16; allow 127.0.0.0/8; deny all;",
        gateway_listener: r#"filter = { default = "deny", rule = [
            { action = "allow", address = ["10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8"] },
        ] }"#,
        ..Self::NONE
    };

    /// Every response gets two fields.
    pub(crate) const FIELDS: Self = Self {
        name: "fields",
        nginx_location: "add_header X-Content-Type-Options nosniff always; add_header X-Frame-Options DENY always;",
        gateway_listener: r#"response_headers = { set = { x-content-type-options = "nosniff", x-frame-options = "DENY" } }"#,
        ..Self::NONE
    };

    /// Every request is redirected.
    pub(crate) const REDIRECT: Self = Self {
        name: "redirect",
        nginx_location: "return 308 http://other.test$request_uri;",
        gateway_listener: r#"redirect = [{ path_prefix = "/", to = "http://other.test/" }]"#,
        ..Self::NONE
    };

    /// A text is searched in every response, and not found.
    pub(crate) const REPLACE: Self = Self {
        name: "replace",
        nginx_location: "sub_filter_types *; sub_filter http://inner.test/ https://www.test/;",
        gateway_listener: r#"response_body = { replace = [{ find = "http://inner.test/", with = "https://www.test/" }] }"#,
        ..Self::NONE
    };

    /// Returns the argument of the program `equipoise_functions`.
    pub(crate) fn argument(self) -> String {
        self.users.map_or_else(|| self.name.to_owned(), |users| format!("{}={users}", self.name))
    }
}
