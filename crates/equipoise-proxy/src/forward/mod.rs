//! A forward proxy: sends requests where clients ask it to, as far as its rules allow.
//!
//! [`ForwardProxy`] is a tower service, for the crate's server (feature `server`) or any server with hyper. Clients send
//! it requests of HTTP with a full URL (`GET http://app.test/`), and open tunnels with `CONNECT` for everything else,
//! over HTTP/1.1 and HTTP/2.
//!
//! ```
//! use equipoise_proxy::forward::{BasicAuth, ForwardProxy, ForwardSettings, Passwords, Rule};
//!
//! let rules = [
//!     Rule::deny().host("*.ads.test")?.named("ads"),
//!     // A host of the local network, for one user.
//!     Rule::allow().host("git.internal")?.port(22).network("10.0.0.0/8")?.user("deploy"),
//!     // The public internet.
//!     Rule::allow(),
//! ];
//! let users = Passwords::new().user("ann", "correct horse").user("deploy", "battery staple");
//! let settings = ForwardSettings::new().authentication(BasicAuth::new("proxy", users)?);
//! let proxy = ForwardProxy::with_settings(rules, settings);
//! # drop(proxy);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is allowed
//!
//! The first [`Rule`] that matches decides. Without a rule that matches, the destination is denied, so a proxy without
//! rules denies everything. `Rule::allow()` alone opens the public internet, and nothing else:
//!
//! - `CONNECT` to port 443, and requests of HTTP to port 80 and those from 1024. [`Rule::ports`] opens others.
//! - The addresses of the public internet. [`Rule::network`] opens others: private and unique local addresses, those
//!   behind carrier-grade NAT, loopback, link-local, multicast, broadcast, those of documentation and benchmarks,
//!   reserved ones, all IPv6 addresses outside of `2000::/3`, those with an IPv4 address inside (mapped, compatible,
//!   NAT64, 6to4, Teredo), and the addresses at which clouds tell a machine its secrets, such as `169.254.169.254` and
//!   `fd00:ec2::254`.
//!
//! A name is resolved once. The rules decide about each of its addresses, and the connection goes to one that they allow.
//! So a name that resolves to another address a moment later (DNS rebinding) changes nothing. Addresses that are not
//! allowed are left out, because the connection cannot go there. If none is left, the request is denied. A name that is
//! denied itself is not resolved.
//!
//! There is [one parser of hosts](Host). Texts that some programs take for addresses, such as `0x7f000001` and `127.1`,
//! are refused with status 400.
//!
//! # What clients learn
//!
//! A client whose destination is denied gets status 403 with the number and the name of the rule. It does not learn what
//! the rule contains, to which addresses the name resolves, or whether something listens there: no connection is
//! attempted. It does learn whether a name that no rule denies can be resolved (403 or 502), and which rule denies its
//! address. One rule with several networks does not tell in which of them the address is.
//!
//! # Requests of HTTP
//!
//! They are treated as by a [`ReverseProxy`](crate::ReverseProxy): checked, freed from the fields of one connection,
//! and streamed. `Host` becomes the host of the URL. All fields that begin with `Proxy-` are removed, and no field about
//! the client is added. They are sent over HTTP/1.1 connections, which are kept for the next request of the same client to
//! the same host and port. The rules decide about the address of a kept connection each time. `Upgrade` is not forwarded:
//! use `CONNECT`.
//!
//! A server of this crate whose clients connect with TLS needs `ServerLimits::any_authority(true)`: requests are for hosts
//! of which it has no certificate.
//!
//! # Tunnels
//!
//! The response to `CONNECT` is successful only when the connection to the destination is open. [`ForwardSettings::on_end`]
//! gets each tunnel at its end, with its user, destination, bytes and reason. [`ForwardLimits`] limits the number, the
//! bytes and the time of tunnels for each user, and the number of requests of HTTP in flight.
//!
//! # Loops
//!
//! A request that has passed through this proxy before (`Via`) gets status 508, also a `CONNECT` that came back through
//! [`Upstreams`]. So does one that would lead to an address at which this proxy is known to listen:
//! [`ForwardSettings::own_address`].
//!
//! # What it does not do
//!
//! - It does not look into tunnels: a client that may open a tunnel to a name may ask for another name in it.
//! - It does not limit how often a client may send wrong credentials. A layer in front can do it.
//! - The system's resolver may append its search domains to a name. Rules see the name that the client sent.
//! - Addresses of the machine itself that are public are open as others are. Deny them with a rule.

mod accounts;
mod attempt;
mod authentication;
mod client;
mod connect;
mod destination;
mod dial;
mod end;
mod error;
mod kept;
mod limits;
mod passwords;
mod proxy;
mod range;
mod rule;
mod rules;
mod settings;
mod stats;
mod stream;
mod tunnels;
mod upstream;

pub use self::{
    authentication::{AuthenticatedUser, BasicAuth, Credentials, InvalidRealm, Verify, VerifyFuture},
    destination::{Destination, Host},
    end::{ForwardEnd, ForwardTunnel},
    error::ForwardError,
    limits::{ForwardLimits, LimitReached},
    passwords::Passwords,
    proxy::{ForwardFuture, ForwardProxy},
    rule::{Access, InvalidRule, Rule},
    rules::{DeniedBy, Rules},
    settings::ForwardSettings,
    stats::ForwardStats,
    stream::ForwardBody,
    upstream::{UpstreamKey, Upstreams},
};
