use std::{collections::BTreeSet, net::IpAddr};

use http::{StatusCode, header, request::Parts, uri::Authority};

use super::reply::Problem;

/// The names under which a page answers.
///
/// A web page of any site can read what a server answers under the name of that site. If the site lets its name lead to
/// the address of this server (DNS rebinding), it reads the status page through the browser of an operator. So only
/// addresses, `localhost` and the names that the application has named are answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    any: bool,
    names: BTreeSet<String>,
}

impl Hosts {
    pub(super) fn allow(&mut self, name: &str) {
        self.names.insert(name.trim_end_matches('.').to_ascii_lowercase());
    }

    pub(super) fn allow_any(&mut self) {
        self.any = true;
    }

    /// Refuses a request for another name. A request without a host is not one of a browser, and is accepted.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Problem> {
        match host(head) {
            _ if self.any => Ok(()),
            Ok(None) => Ok(()),
            Ok(Some(authority)) if self.contains(authority.host()) => Ok(()),
            Ok(Some(authority)) => Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "the page is not served under the name {:?}: use an address or localhost, or let the program allow \
                     the name with StatusPage::allow_host",
                    authority.host()
                ),
            )),
            Err(()) => Err(Problem::bad("the host is not valid: use NAME or NAME:PORT")),
        }
    }

    fn contains(&self, host: &str) -> bool {
        let name = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.names.contains(&name)
    }
}

/// Returns the host and the port that the client asks for.
pub(super) fn host(head: &Parts) -> Result<Option<Authority>, ()> {
    if let Some(authority) = head.uri.authority() {
        return Ok(Some(authority.clone()));
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => match host.to_str().ok().and_then(|host| host.parse().ok()) {
            Some(authority) => Ok(Some(authority)),
            None => Err(()),
        },
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn status(hosts: &Hosts, uri: &str, host: Option<&str>) -> Option<u16> {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        hosts.check(&head).err().map(|problem| problem.status.as_u16())
    }

    #[test]
    fn a_name_that_the_application_has_not_named_is_refused() {
        let mut hosts = Hosts::default();
        for host in ["127.0.0.1", "127.0.0.1:9000", "[::1]:9000", "localhost", "LOCALHOST:80", "localhost."] {
            assert_eq!(status(&hosts, "/", Some(host)), None, "{host}");
        }
        for host in ["evil.test", "evil.test:9000", "localhost.evil.test", "127.0.0.1.evil.test", "status.test"] {
            assert_eq!(status(&hosts, "/", Some(host)), Some(421), "{host}");
            assert_eq!(status(&hosts, &format!("http://{host}/"), Some("localhost")), Some(421), "{host}");
        }
        assert_eq!(status(&hosts, "/", Some("a b")), Some(400));
        assert_eq!(status(&hosts, "/", Some("")), Some(400));
        assert_eq!(status(&hosts, "/", None), None);
        hosts.allow("Status.Test.");
        assert_eq!(status(&hosts, "/", Some("status.test:443")), None);
        assert_eq!(status(&hosts, "/", Some("evil.test")), Some(421));
        hosts.allow_any();
        assert_eq!(status(&hosts, "/", Some("evil.test")), None);
    }
}
