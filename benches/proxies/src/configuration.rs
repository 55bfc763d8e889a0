//! The configurations of nginx, HAProxy and the gateway.

use std::{fmt::Write, net::SocketAddr, path::Path};

use crate::{certificate::Certificate, function::Function};

/// What all processes of nginx have in common. Connections are not closed after a number of requests.
const NGINX: &str = "\
    user root; worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit;\n\
    events { worker_connections 16384; }\n";
const NGINX_HTTP: &str = "\
    access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;\n\
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n";

/// A backend that speaks HTTP/1.1 on one address and HTTP/2 on another one.
pub(crate) fn backend(http1: SocketAddr, http2: SocketAddr) -> String {
    format!(
        "{NGINX} http {{
            {NGINX_HTTP}
            open_file_cache max=10;
            server {{
                listen {http1}; listen {http2} http2;
                location / {{ root .; }}
                location = /small {{ return 200 \"sixteen bytes...\"; }}
                location /cached/ {{ alias ./; add_header Cache-Control max-age=3600; }}
                location = /cached/small {{
                    add_header Cache-Control max-age=3600;
                    return 200 \"sixteen bytes...\";
                }}
            }}
        }}"
    )
}

/// The module of nginx for TCP and UDP, where Debian installs it. It may also be compiled in.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// What all configurations of HAProxy have in common.
const HAPROXY: &str = "\
    global\n  nbthread 1\n  maxconn 16384\n  no strict-limits\n\
    defaults\n  timeout connect 5s\n  timeout client 600s\n  timeout server 600s\n  balance roundrobin\n";

/// A proxy for HTTP; over TLS if there is a certificate.
pub(crate) fn nginx(
    listen: SocketAddr,
    backends: &[SocketAddr],
    from_http2: bool,
    tls: Option<&Certificate>,
    function: Option<Function>,
) -> String {
    let Function { nginx_http, nginx_location, .. } = function.unwrap_or(Function::NONE);
    let servers = lines(backends, |_, backend| format!("server {backend};"));
    let http2 = if from_http2 { "http2" } else { "" };
    let (ssl, files) = tls.map_or_else(Default::default, |tls| {
        let (certificate, key) = (tls.certificate(), tls.key());
        let files = format!(
            "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
            certificate.display(),
            key.display()
        );
        ("ssl", files)
    });
    format!(
        "{NGINX} http {{
            {NGINX_HTTP}
            {nginx_http}
            upstream backends {{ {servers} keepalive 512; keepalive_requests 1000000000; }}
            server {{
                listen {listen} {ssl} {http2};
                {files}
                location / {{
                    proxy_pass http://backends;
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_set_header Host $http_host;
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_set_header X-Forwarded-Host $http_host;
                    proxy_max_temp_file_size 0;
                    {nginx_location}
                }}
            }}
        }}"
    )
}

/// A proxy for TCP or UDP.
pub(crate) fn nginx_stream(listen: SocketAddr, backends: &[SocketAddr], udp: bool) -> String {
    let module = if Path::new(NGINX_STREAM).exists() { format!("load_module {NGINX_STREAM};") } else { String::new() };
    let servers = lines(backends, |_, backend| format!("server {backend};"));
    let udp = if udp { "udp" } else { "" };
    format!(
        "{module} {NGINX} stream {{
            upstream backends {{ {servers} }}
            server {{ listen {listen} {udp}; proxy_pass backends; }}
        }}"
    )
}

/// A proxy for HTTP; over TLS if there is a certificate.
pub(crate) fn haproxy(
    listen: SocketAddr,
    backends: &[SocketAddr],
    from_http2: bool,
    to_http2: bool,
    tls: Option<&Certificate>,
) -> String {
    let version = |http2: bool| if http2 { "proto h2" } else { "" };
    let (ssl, scheme) = tls.map_or_else(
        || (String::new(), "http"),
        // A connection that is closed before a request gets no response, as with the others.
        |tls| (format!("ssl crt {}\n  option http-ignore-probes", tls.both().display()), "https"),
    );
    format!(
        "{HAPROXY}  mode http\n  option forwardfor\n\
         frontend in\n  bind {listen} {} {ssl}\n  default_backend backends\n  \
         http-request set-header X-Forwarded-Proto {scheme}\n  \
         http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
         backend backends\n  http-reuse always\n{}",
        version(from_http2),
        haproxy_servers(backends, version(to_http2))
    )
}

/// A proxy for TCP with some options.
pub(crate) fn haproxy_tcp(listen: SocketAddr, backends: &[SocketAddr], options: &[&str]) -> String {
    let options: String = options.iter().map(|option| format!("  option {option}\n")).collect();
    format!(
        "{HAPROXY}  mode tcp\n{options}frontend in\n  bind {listen}\n  default_backend backends\n\
         backend backends\n{}",
        haproxy_servers(backends, "")
    )
}

fn haproxy_servers(backends: &[SocketAddr], version: &str) -> String {
    lines(backends, |n, backend| format!("  server s{n} {backend} check inter 1s {version}"))
}

pub(crate) fn gateway(
    listen: SocketAddr,
    backends: &[SocketAddr],
    to_http2: bool,
    function: Option<Function>,
) -> String {
    let Function { gateway_listener, gateway_tables, .. } = function.unwrap_or(Function::NONE);
    let protocol = if to_http2 { "http2" } else { "http1" };
    let endpoints = lines(backends, |_, backend| format!("    {{ address = \"{backend}\" }},"));
    format!(
        "[log]\naccess = false\n[[listener]]\nbind = \"{listen}\"\npool = \"web\"\n{gateway_listener}\n\
         limits = {{ max_connections = 65536, max_in_flight = 65536 }}\n\
         {gateway_tables}\n[pool.web]\nstrategy = \"round-robin\"\nprotocol = \"{protocol}\"\nhealth = {{ check = \"tcp\", interval = \"1s\" }}\n\
         endpoints = [\n{endpoints}]\n"
    )
}

fn lines(backends: &[SocketAddr], line: impl Fn(usize, SocketAddr) -> String) -> String {
    backends.iter().enumerate().fold(String::new(), |mut lines, (n, backend)| {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{}", line(n, *backend));
        lines
    })
}
