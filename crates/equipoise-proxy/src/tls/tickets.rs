use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::{SecureRandom, SystemRandom},
};
use rustls::server::ProducesTickets;

use super::error::InvalidTls;

/// The minimum length of a secret, in bytes: the keys that are derived from it have as many.
const MIN_SECRET: usize = 32;

/// The length of the name of a key, with which each ticket begins.
const NAME_LEN: usize = 16;

/// A secret from which the keys of session tickets are derived, so that several balancers accept each other's tickets.
///
/// With the secret, recorded connections of TLS 1.2 can be decrypted if a ticket of their session was recorded. So replace
/// it from time to time: see [`TlsSettings::ticket_secrets`](super::TlsSettings::ticket_secrets).
#[derive(Clone)]
pub struct TicketSecret(Arc<[u8]>);

impl TicketSecret {
    /// Creates a secret of random bytes, at least 32.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::TicketSecret`] if it is shorter.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, InvalidTls> {
        let secret = secret.as_ref();
        if secret.len() < MIN_SECRET {
            return Err(InvalidTls::TicketSecret { len: secret.len() });
        }
        Ok(Self(secret.into()))
    }

    /// Derives the key of a period of `seconds` with this number.
    fn key(&self, seconds: u64, number: u64) -> Option<Key> {
        let extracted = Salt::new(HKDF_SHA256, b"equipoise tls tickets 1").extract(&self.0);
        let info = [&seconds.to_be_bytes()[..], &number.to_be_bytes()];
        let mut material = [0; KEY_LEN + NAME_LEN];
        extracted.expand(&info, Length(material.len())).ok()?.fill(&mut material).ok()?;
        Key::new(&material)
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(..)")
    }
}

/// Encrypts and decrypts session tickets. Time is divided into periods, and each has a key of its own.
///
/// A ticket is the name of its key, a random nonce, and the encrypted session with its tag (ChaCha20-Poly1305). It is
/// accepted in the period of its key and in the next one. With secrets, also in the period before, because the clock of
/// the balancer that issued it may be ahead.
pub(super) struct Tickets {
    /// Without secrets, the keys are random, and are forgotten after their last period.
    secrets: Vec<TicketSecret>,
    period: Duration,
    keys: ArcSwapOption<Keys>,
}

struct Keys {
    period: u64,
    /// That of new tickets.
    current: Arc<Key>,
    /// Those of tickets that are accepted too.
    others: Vec<Arc<Key>>,
}

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

const KEY_LEN: usize = 32;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Key {
    fn new(material: &[u8; KEY_LEN + NAME_LEN]) -> Option<Self> {
        let (key, name) = material.split_at(KEY_LEN);
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
        Some(Self { name: name.try_into().ok()?, key })
    }

    fn random() -> Option<Self> {
        let mut material = [0; KEY_LEN + NAME_LEN];
        SystemRandom::new().fill(&mut material).ok()?;
        Self::new(&material)
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        // A counter would tell clients how many tickets there are.
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = [&self.name[..], &nonce, plain].concat();
        let sealed = ticket.get_mut(NAME_LEN + NONCE_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(self.name), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// `sealed` is what follows the name in a ticket.
    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk()?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.key.open_in_place(nonce, Aad::from(self.name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl Tickets {
    /// `period` is the lifetime of a ticket. It is at least a second.
    pub(super) fn new(secrets: Vec<TicketSecret>, period: Duration) -> Self {
        let period = Duration::from_secs(period.as_secs().max(1));
        Self { secrets, period, keys: ArcSwapOption::empty() }
    }

    /// Returns whether both have the same secrets and lifetime.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let secrets = |tickets: &Self| tickets.secrets.iter().map(|secret| Arc::clone(&secret.0)).collect::<Vec<_>>();
        self.period == other.period && secrets(self) == secrets(other)
    }

    /// Returns the keys for a time. `None` if the system has no random numbers.
    fn keys(&self, now: SystemTime) -> Option<Arc<Keys>> {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let period = since.as_secs() / self.period.as_secs();
        let known = self.keys.load_full();
        let is_random = self.secrets.is_empty();
        // Random keys cannot be made again. Another thread may have begun a period that has not begun here.
        let is_current =
            |keys: &&Arc<Keys>| keys.period == period || is_random && keys.period == period.saturating_add(1);
        if let Some(known) = known.as_ref().filter(is_current) {
            return Some(Arc::clone(known));
        }
        let keys = if is_random { random_keys(known.as_deref(), period)? } else { self.derived_keys(period)? };
        let keys = Arc::new(keys);
        // If another thread has set keys for this period meanwhile, its tickets must be accepted.
        let previous = self.keys.compare_and_swap(&known, Some(Arc::clone(&keys)));
        match &*previous {
            Some(other) if other.period == period => Some(Arc::clone(other)),
            _ => Some(keys),
        }
    }

    fn derived_keys(&self, period: u64) -> Option<Keys> {
        let mut keys = Vec::new();
        for secret in &self.secrets {
            for period in [Some(period), period.checked_sub(1), period.checked_add(1)].into_iter().flatten() {
                keys.push(Arc::new(secret.key(self.period.as_secs(), period)?));
            }
        }
        let mut keys = keys.into_iter();
        Some(Keys { period, current: keys.next()?, others: keys.collect() })
    }

    fn seal(&self, plain: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        self.keys(now)?.current.seal(plain)
    }

    fn open(&self, ticket: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let (name, sealed) = ticket.split_first_chunk()?;
        let keys = self.keys(now)?;
        // The name is no secret.
        [&keys.current].into_iter().chain(&keys.others).find(|key| key.name == *name)?.open(sealed)
    }
}

/// Makes a new key. The key of the period just before is still accepted.
fn random_keys(known: Option<&Keys>, period: u64) -> Option<Keys> {
    let before = known.filter(|keys| keys.period.checked_add(1) == Some(period));
    let others = before.map(|keys| Arc::clone(&keys.current)).into_iter().collect();
    Some(Keys { period, current: Arc::new(Key::random()?), others })
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.period.as_secs().try_into().unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, SystemTime::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, SystemTime::now())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("secrets", &self.secrets.len())
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(3600);

    /// The middle of the period with this number.
    fn at(period: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + PERIOD * period + PERIOD / 2
    }

    fn secret(byte: u8) -> TicketSecret {
        TicketSecret::new([byte; 32]).expect("long enough")
    }

    fn shared(secrets: &[u8]) -> Tickets {
        Tickets::new(secrets.iter().copied().map(secret).collect(), PERIOD)
    }

    /// The periods in which a ticket is accepted that was issued in period 10.
    fn accepted(tickets: &Tickets, ticket: &[u8]) -> Vec<u32> {
        (7..14).filter(|period| tickets.open(ticket, at(*period)).as_deref() == Some(b"session")).collect()
    }

    #[test]
    fn balancers_with_one_secret_accept_each_others_tickets_in_three_periods() {
        let ticket = shared(&[1]).seal(b"session", at(10)).expect("a ticket");
        assert_eq!(accepted(&shared(&[1]), &ticket), [9, 10, 11]);
        assert!(accepted(&shared(&[2]), &ticket).is_empty());
        assert_eq!(ticket.len(), NAME_LEN + NONCE_LEN + 7 + 16);
        // With another lifetime, periods have other numbers.
        let other = Tickets::new(vec![secret(1)], PERIOD * 2);
        assert!((0..20).all(|period| other.open(&ticket, at(period)).is_none()));
    }

    #[test]
    fn secrets_are_replaced_in_three_steps() {
        let steps = [shared(&[1]), shared(&[1, 2]), shared(&[2, 1]), shared(&[2])];
        for (from, to, is_accepted) in [(0, 1, true), (1, 2, true), (2, 1, true), (2, 3, true), (0, 3, false)] {
            let ticket = steps[from].seal(b"session", at(10)).expect("a ticket");
            assert_eq!(steps[to].open(&ticket, at(10)).is_some(), is_accepted, "{from} {to}");
        }
    }

    #[test]
    fn random_keys_live_for_two_periods() {
        let tickets = Tickets::new(Vec::new(), PERIOD);
        let open = |ticket: &[u8], period| tickets.open(ticket, at(period)).is_some();
        let ticket = tickets.seal(b"session", at(10)).expect("a ticket");
        assert!(open(&ticket, 10) && open(&ticket, 11) && !open(&ticket, 12));
        let ticket = tickets.seal(b"session", at(12)).expect("a ticket");
        assert!(open(&ticket, 12) && !open(&ticket, 14) && !open(&ticket, 12));
        let other = Tickets::new(Vec::new(), PERIOD);
        assert!(other.open(&tickets.seal(b"session", at(15)).expect("a ticket"), at(15)).is_none());
    }

    #[test]
    fn changed_tickets_are_not_accepted() {
        let tickets = shared(&[1]);
        let ticket = tickets.seal(b"session", at(10)).expect("a ticket");
        for at_byte in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at_byte] ^= 1;
            assert_eq!(tickets.open(&changed, at(10)), None, "{at_byte}");
            assert_eq!(tickets.open(&ticket[..at_byte], at(10)), None, "{at_byte}");
        }
        assert_ne!(tickets.seal(b"session", at(10)), tickets.seal(b"session", at(10)));
    }

    #[test]
    fn short_secrets_are_refused() {
        assert!(matches!(TicketSecret::new([0; 31]), Err(InvalidTls::TicketSecret { len: 31 })));
        assert_eq!(format!("{:?}", secret(1)), "TicketSecret(..)");
    }
}
