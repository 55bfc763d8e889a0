//! Notices that certificates expire soon.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::event::MonitorEventKind;
use crate::report::{CertificateReport, ListenerReport};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The times before a certificate expires at which there is an event.
const NOTICES: [Duration; 6] =
    [DAY.saturating_mul(30), DAY.saturating_mul(14), DAY.saturating_mul(7), DAY.saturating_mul(3), DAY, Duration::ZERO];

/// What identifies a certificate: its listener, where it was read, when it expires, and its names. A renewed
/// certificate is another one.
type Key = (String, String, SystemTime, Vec<String>);

/// The certificates that expire soon, with the number of the times in [`NOTICES`] that have begun.
#[derive(Default)]
pub(super) struct Certificates(BTreeMap<Key, usize>);

impl Certificates {
    /// Returns an event for each certificate for which another one of the times in [`NOTICES`] has begun since the last
    /// call.
    pub(super) fn check(&mut self, now: SystemTime, listeners: &[ListenerReport]) -> Vec<MonitorEventKind> {
        let mut events = Vec::new();
        let mut soon = BTreeMap::new();
        for listener in listeners {
            for certificate in &listener.certificates {
                let expires_in = certificate.not_after.duration_since(now).unwrap_or_default();
                let begun = NOTICES.iter().take_while(|notice| expires_in <= **notice).count();
                if begun == 0 {
                    continue;
                }
                let key = key(listener, certificate);
                let known = self.0.get(&key).copied().unwrap_or(0).max(soon.get(&key).copied().unwrap_or(0));
                if begun > known {
                    events.push(MonitorEventKind::CertificateExpiring {
                        listener: listener.name.clone(),
                        source: certificate.source.clone(),
                        names: certificate.names.clone(),
                        expires_in,
                    });
                }
                soon.insert(key, begun.max(known));
            }
        }
        // Those that are no longer in use are forgotten.
        self.0 = soon;
        events
    }
}

fn key(listener: &ListenerReport, certificate: &CertificateReport) -> Key {
    (listener.name.clone(), certificate.source.clone(), certificate.not_after, certificate.names.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(expires: &[u64]) -> Vec<ListenerReport> {
        let certificate = |days: &u64| CertificateReport {
            source: "site.pem".to_owned(),
            names: vec![format!("{days}.test")],
            is_default: false,
            not_after: day(*days),
        };
        vec![ListenerReport {
            name: "https".to_owned(),
            mode: "http".to_owned(),
            readings: Vec::new(),
            certificates: expires.iter().map(certificate).collect(),
        }]
    }

    fn day(n: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY.saturating_mul(n as u32)
    }

    #[test]
    fn there_is_one_event_for_each_time_before_a_certificate_expires() {
        let mut certificates = Certificates::default();
        let listeners = listener(&[100]);
        let days: Vec<u64> = (0..110).filter(|n| !certificates.check(day(*n), &listeners).is_empty()).collect();
        assert_eq!(days, [70, 86, 93, 97, 99, 100]);
    }

    #[test]
    fn the_first_look_at_a_certificate_gives_one_event() {
        let mut certificates = Certificates::default();
        let events = certificates.check(day(95), &listener(&[100, 200]));
        let [MonitorEventKind::CertificateExpiring { listener, source, names, expires_in }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!((listener.as_str(), source.as_str()), ("https", "site.pem"));
        assert_eq!((&names[..], *expires_in), (&["100.test".to_owned()][..], DAY * 5));
    }

    #[test]
    fn a_renewed_certificate_is_another_one() {
        let mut certificates = Certificates::default();
        assert_eq!(certificates.check(day(95), &listener(&[100])).len(), 1);
        assert_eq!(certificates.check(day(95), &listener(&[101])).len(), 1);
        assert_eq!(certificates.check(day(95), &listener(&[300])).len(), 0);
        assert!(certificates.0.is_empty());
    }
}
