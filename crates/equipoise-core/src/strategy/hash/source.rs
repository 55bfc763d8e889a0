use std::{net::IpAddr, ops::Deref};

use super::InvalidHashing;

/// Makes [keys](crate::PickRequest::key) for hashing strategies from the first bits (the prefix) of a client's IP
/// address.
///
/// Choose it if there is no better key for clients, such as a cookie or a user id. Clients with the same prefix get the
/// same endpoint. A client that changes its network may get another endpoint. With shorter prefixes, all clients of a
/// network get the same endpoint.
///
/// Default: all 32 bits of an IPv4 address, and the first 64 bits of an IPv6 address. Hosts choose and renew the other
/// 64 bits of an IPv6 address themselves. (`ip_hash` of nginx uses 24 bits of an IPv4 address and all 128 bits of an
/// IPv6 address.) IPv4-mapped IPv6 addresses (`::ffff:192.0.2.7`) are treated as IPv4 addresses.
///
/// Weakness: all clients behind one address (NAT, or another proxy) go to one endpoint. Limit the load of this endpoint
/// with [`BoundedLoad`](super::BoundedLoad), or use a key that distinguishes the clients.
///
/// ```
/// use std::net::IpAddr;
/// use equipoise_core::{EndpointSpec, Maglev, PickRequest, Pool, SourcePrefix};
///
/// let pool = Pool::new(Maglev::new());
/// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
///
/// let networks = SourcePrefix::new(24, 56)?;
/// let (one, neighbour) = ("192.0.2.7".parse::<IpAddr>()?, "192.0.2.77".parse::<IpAddr>()?);
/// let first = pool.pick(&PickRequest::new().key(&networks.key(one)))?;
/// let second = pool.pick(&PickRequest::new().key(&networks.key(neighbour)))?;
/// assert_eq!(first.endpoint().id(), second.endpoint().id()); // both addresses are in 192.0.2.0/24
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourcePrefix {
    v4: u8,
    v6: u8,
}

impl SourcePrefix {
    /// Creates a source of keys that uses the first `v4` bits of IPv4 addresses and the first `v6` bits of IPv6
    /// addresses. Range: 0 to 32 for `v4`, and 0 to 128 for `v6`. With 0, all addresses of this IP version have the
    /// same key.
    ///
    /// # Errors
    ///
    /// [`InvalidHashing::Prefix`] if `v4` is above 32 or `v6` is above 128.
    pub const fn new(v4: u8, v6: u8) -> Result<Self, InvalidHashing> {
        if v4 > 32 {
            return Err(InvalidHashing::Prefix { version: 4, length: v4, most: 32 });
        }
        if v6 > 128 {
            return Err(InvalidHashing::Prefix { version: 6, length: v6, most: 128 });
        }
        Ok(Self { v4, v6 })
    }

    /// Returns the key of a client's address. Pass it to [`PickRequest::key`](crate::PickRequest::key). Does not
    /// allocate.
    pub fn key(&self, address: impl Into<IpAddr>) -> SourceKey {
        match address.into().to_canonical() {
            IpAddr::V4(address) => {
                let kept = u32::MAX.checked_shl(32 - u32::from(self.v4)).unwrap_or(0);
                SourceKey::new((address.to_bits() & kept).to_be_bytes())
            }
            IpAddr::V6(address) => {
                let kept = u128::MAX.checked_shl(128 - u32::from(self.v6)).unwrap_or(0);
                SourceKey::new((address.to_bits() & kept).to_be_bytes())
            }
        }
    }
}

impl Default for SourcePrefix {
    /// Creates a source of keys that uses all 32 bits of IPv4 addresses and the first 64 bits of IPv6 addresses.
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

/// The key of an IP address, for hashing strategies. It contains the address with all bits after the prefix set to 0: 4
/// bytes for an IPv4 address, and 16 bytes for an IPv6 address. It dereferences to these bytes. Returned by
/// [`SourcePrefix::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    bytes: [u8; 16],
    length: usize,
}

impl SourceKey {
    fn new<const N: usize>(prefix: [u8; N]) -> Self {
        let mut bytes = [0; 16];
        bytes[..N].copy_from_slice(&prefix);
        Self { bytes, length: N }
    }
}

impl Deref for SourceKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl AsRef<[u8]> for SourceKey {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(v4: u8, v6: u8, address: &str) -> Vec<u8> {
        SourcePrefix::new(v4, v6).expect("in range").key(address.parse::<IpAddr>().expect("an address")).to_vec()
    }

    #[test]
    fn a_key_is_the_prefix_of_an_address() {
        assert_eq!(key(32, 64, "192.0.2.77"), [192, 0, 2, 77]);
        assert_eq!(key(24, 64, "192.0.2.77"), [192, 0, 2, 0]);
        assert_eq!(key(26, 64, "192.0.2.77"), [192, 0, 2, 64]);
        assert_eq!(key(0, 64, "192.0.2.77"), [0; 4]);
        assert_eq!(key(32, 64, "2001:db8:1:2:3:4:5:6")[..8], [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2]);
        assert_eq!(key(32, 64, "2001:db8:1:2:3:4:5:6")[8..], [0; 8]);
        assert_eq!(key(32, 0, "2001:db8::1"), [0; 16]);
        assert_eq!(key(32, 128, "2001:db8::1")[15], 1);
    }

    #[test]
    fn an_ipv4_mapped_address_is_an_ipv4_address() {
        assert_eq!(key(24, 64, "::ffff:192.0.2.77"), key(24, 64, "192.0.2.1"));
        assert_ne!(key(24, 128, "::192.0.2.77"), key(24, 128, "192.0.2.77"));
    }

    #[test]
    fn prefixes_longer_than_an_address_are_refused() {
        assert!(matches!(SourcePrefix::new(33, 64), Err(InvalidHashing::Prefix { version: 4, length: 33, most: 32 })));
        assert!(matches!(SourcePrefix::new(32, 129), Err(InvalidHashing::Prefix { version: 6, length: 129, .. })));
    }
}
