use std::time::{Duration, SystemTime};

use super::certificate::Certificate;

/// The longest time before its end at which a certificate is reported.
const MAX_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A certificate that a server uses, for metrics and checks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// The file that the chain was read from. A fixed text if it was not read from a file.
    pub source: String,
    /// The names for which the certificate is chosen, in lower case.
    pub names: Vec<String>,
    /// Whether the certificate is that of all other names.
    pub is_default: bool,
    /// The subject as text (RFC 4514).
    pub subject: String,
    /// The serial number as lower-case hexadecimal digits.
    pub serial_number: String,
    /// The time from which the certificate and its issuers are valid.
    pub not_before: SystemTime,
    /// The time until which the certificate and its issuers are valid.
    pub not_after: SystemTime,
}

impl CertificateStatus {
    pub(super) fn new(certificate: &Certificate, names: Vec<String>, is_default: bool) -> Self {
        let fields = &certificate.fields;
        Self {
            source: certificate.source.clone(),
            names,
            is_default,
            subject: fields.subject.clone(),
            serial_number: fields.serial.clone(),
            not_before: fields.not_before,
            not_after: fields.not_after,
        }
    }

    /// Returns the time that is left until the certificate expires. `Duration::ZERO` if it has expired.
    pub fn remaining(&self) -> Duration {
        self.remaining_at(SystemTime::now())
    }

    fn remaining_at(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// Returns whether the certificate expires within 14 days, or a quarter of its validity if that is shorter.
    fn expires_soon(&self, now: SystemTime) -> bool {
        let validity = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.remaining_at(now) <= MAX_NOTICE.min(validity / 4)
    }

    /// Logs a warning if clients refuse the certificate, or will do so soon. The server uses it nevertheless: some clients
    /// accept it, and a process that has to start again must not fail because a certificate was not renewed.
    pub(super) fn warn(&self, now: SystemTime) {
        let (source, names) = (&*self.source, &self.names);
        let seconds = self.remaining_at(now).as_secs();
        if self.not_before > now {
            tracing::warn!(source, ?names, "a certificate is not valid yet");
        } else if seconds == 0 {
            tracing::warn!(source, ?names, "a certificate has expired");
        } else if self.expires_soon(now) {
            tracing::warn!(source, ?names, hours = seconds / 3600, "a certificate expires soon");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn status(days: u32) -> CertificateStatus {
        CertificateStatus {
            source: String::new(),
            names: Vec::new(),
            is_default: true,
            subject: String::new(),
            serial_number: String::new(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH + DAY * days,
        }
    }

    #[test]
    fn certificates_are_reported_two_weeks_or_a_quarter_of_their_validity_before_their_end() {
        for (validity, day, expires_soon) in
            [(90, 75, false), (90, 77, true), (90, 91, true), (8, 5, false), (8, 7, true), (8, 100, true)]
        {
            let now = SystemTime::UNIX_EPOCH + DAY * day;
            assert_eq!(status(validity).expires_soon(now), expires_soon, "{validity} {day}");
        }
        assert_eq!(status(8).remaining_at(SystemTime::UNIX_EPOCH + DAY * 9), Duration::ZERO);
        assert_eq!(status(8).remaining(), Duration::ZERO);
    }
}
