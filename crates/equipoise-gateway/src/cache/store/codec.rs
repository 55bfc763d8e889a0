//! Entries as bytes, for stores outside of the process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use xxhash_rust::xxh3::xxh3_64;

use super::{Body, Entry, Head, Tag};

/// The first byte. Another format gets another number, and readers take what they do not know as no entry.
const VERSION: u8 = 1;
/// Length of the checksum at the end.
const CHECKSUM: usize = 8;

/// Why bytes are no [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early, or their checksum is wrong.
    #[error("the bytes are not complete, or were changed")]
    Damaged,
    /// The bytes have a format of another version.
    #[error("the format has version {0}, but should have version {VERSION}")]
    Version(u8),
    /// A part has a value that no response can have.
    #[error("the {0} is invalid")]
    Invalid(&'static str),
}

impl Entry {
    /// Returns the entry as bytes, for a store outside of the process. Times before 1970 become 1970. Returns `None`
    /// for what no store should keep: a response with more than 65 535 fields, or a field name or vary list of such a
    /// length. O(size).
    pub fn to_bytes(&self) -> Option<Bytes> {
        let mut bytes = Vec::with_capacity(self.size());
        let head = self.head();
        bytes.put_u8(VERSION);
        put_short(&mut bytes, head.method.as_str().as_bytes())?;
        bytes.put_u16(head.status.as_u16());
        for time in [Some(head.request_time), Some(head.response_time), head.expires] {
            bytes.put_u8(time.is_some().into());
            put_duration(&mut bytes, time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default());
        }
        for duration in [head.initial_age, head.fresh_for, head.stale_while_revalidate, head.stale_if_error] {
            put_duration(&mut bytes, duration);
        }
        bytes.put_u32(head.flags);
        put_count(&mut bytes, head.headers.len())?;
        for (name, value) in &head.headers {
            put_short(&mut bytes, name.as_str().as_bytes())?;
            put_long(&mut bytes, value.as_bytes())?;
        }
        put_count(&mut bytes, head.vary.len())?;
        for (name, values) in &head.vary {
            put_short(&mut bytes, name.as_str().as_bytes())?;
            put_count(&mut bytes, values.len())?;
            for value in values {
                put_long(&mut bytes, value.as_bytes())?;
            }
        }
        put_count(&mut bytes, head.tags.len())?;
        for tag in &head.tags {
            put_short(&mut bytes, tag.as_str().as_bytes())?;
        }
        bytes.put_u64(self.body().len());
        for chunk in self.body().chunks() {
            bytes.put_slice(chunk);
        }
        let checksum = xxh3_64(&bytes);
        bytes.put_u64(checksum);
        Some(bytes.into())
    }

    /// Reads an entry that [`to_bytes`](Self::to_bytes) wrote. The body shares the bytes, all else is copied. It takes
    /// any bytes: O(length), and no more memory than a small multiple of the length.
    ///
    /// # Errors
    ///
    /// Returns a [`DecodeError`] if the bytes are no entry.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let version = *bytes.first().ok_or(DecodeError::Damaged)?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let end = bytes.len().checked_sub(CHECKSUM).ok_or(DecodeError::Damaged)?;
        let content = bytes.slice(..end);
        if bytes.get(end..) != Some(&xxh3_64(&content).to_be_bytes()[..]) {
            return Err(DecodeError::Damaged);
        }
        let mut reader = Reader(content);
        let _version = reader.take(1)?;
        let method = Method::from_bytes(&reader.short()?).map_err(|_| DecodeError::Invalid("method"))?;
        let status = StatusCode::from_u16(reader.u16()?).map_err(|_| DecodeError::Invalid("status"))?;
        let times = [reader.time()?, reader.time()?, reader.time()?];
        let [Some(request_time), Some(response_time), expires] = times else {
            return Err(DecodeError::Invalid("time"));
        };
        let mut head = Head::new(status, HeaderMap::new(), request_time, response_time);
        head.method = method;
        head.expires = expires;
        head.initial_age = reader.duration()?;
        head.fresh_for = reader.duration()?;
        head.stale_while_revalidate = reader.duration()?;
        head.stale_if_error = reader.duration()?;
        head.flags = u32::from_be_bytes(reader.array()?);
        for _ in 0..reader.u16()? {
            let (name, value) = (reader.name()?, reader.value()?);
            head.headers.try_append(name, value).map_err(|_| DecodeError::Invalid("number of fields"))?;
        }
        for _ in 0..reader.u16()? {
            let name = reader.name()?;
            let count = reader.u16()?;
            let values = (0..count).map(|_| reader.value()).collect::<Result<_, _>>()?;
            head.vary.push((name, values));
        }
        for _ in 0..reader.u16()? {
            let tag = reader.short()?;
            let tag = std::str::from_utf8(&tag).ok().and_then(Tag::new).ok_or(DecodeError::Invalid("tag"))?;
            head.tags.push(tag);
        }
        let length = u64::from_be_bytes(reader.array()?);
        if length != reader.0.len() as u64 {
            return Err(DecodeError::Invalid("length of the body"));
        }
        Ok(Self::new(head, Body::new([reader.0])))
    }
}

fn put_count(bytes: &mut Vec<u8>, count: usize) -> Option<()> {
    bytes.put_u16(u16::try_from(count).ok()?);
    Some(())
}

fn put_short(bytes: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    put_count(bytes, text.len())?;
    bytes.put_slice(text);
    Some(())
}

fn put_long(bytes: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    bytes.put_u32(u32::try_from(text.len()).ok()?);
    bytes.put_slice(text);
    Some(())
}

fn put_duration(bytes: &mut Vec<u8>, duration: Duration) {
    bytes.put_u64(duration.as_secs());
    bytes.put_u32(duration.subsec_nanos());
}

/// The bytes that have not been read yet.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.0.len() {
            return Err(DecodeError::Damaged);
        }
        Ok(self.0.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.as_ref().try_into().map_err(|_| DecodeError::Damaged)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn short(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.u16()?;
        self.take(length.into())
    }

    fn name(&mut self) -> Result<HeaderName, DecodeError> {
        HeaderName::from_bytes(&self.short()?).map_err(|_| DecodeError::Invalid("field name"))
    }

    fn value(&mut self) -> Result<HeaderValue, DecodeError> {
        let length = u32::from_be_bytes(self.array()?);
        let value = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        // A copy: a slice would keep the body in memory for as long as the value.
        HeaderValue::from_bytes(&value).map_err(|_| DecodeError::Invalid("field value"))
    }

    fn duration(&mut self) -> Result<Duration, DecodeError> {
        let (seconds, nanos) = (u64::from_be_bytes(self.array()?), u32::from_be_bytes(self.array()?));
        if nanos >= 1_000_000_000 {
            return Err(DecodeError::Invalid("duration"));
        }
        Ok(Duration::new(seconds, nanos))
    }

    fn time(&mut self) -> Result<Option<SystemTime>, DecodeError> {
        let [is_there] = self.array()?;
        let since = self.duration()?;
        match is_there {
            0 => Ok(None),
            1 => UNIX_EPOCH.checked_add(since).map(Some).ok_or(DecodeError::Invalid("time")),
            _ => Err(DecodeError::Invalid("time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn duration() -> impl Strategy<Value = Duration> {
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
    }

    fn time() -> impl Strategy<Value = SystemTime> {
        (0..1_u64 << 40, 0..1_000_000_000_u32).prop_map(|(s, nanos)| UNIX_EPOCH + Duration::new(s, nanos))
    }

    fn name() -> impl Strategy<Value = HeaderName> {
        "[a-z][a-z0-9-]{0,20}".prop_map(|name| name.parse().expect("a name"))
    }

    fn value() -> impl Strategy<Value = HeaderValue> {
        vec(prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8], 0..30)
            .prop_map(|value| HeaderValue::from_bytes(&value).expect("a value"))
    }

    prop_compose! {
        fn entry()(
            method in "[A-Z]{1,10}",
            status in 100_u16..1000,
            headers in vec((name(), value()), 0..10),
            vary in vec((name(), vec(value(), 0..3)), 0..4),
            tags in vec("[!-~]{1,20}", 0..5),
            times in (time(), time(), prop::option::of(time())),
            durations in [duration(), duration(), duration(), duration()],
            flags in any::<u32>(),
            body in vec(vec(any::<u8>(), 0..50), 0..4),
        ) -> Entry {
            let mut head = Head::new(StatusCode::from_u16(status).expect("a status"), HeaderMap::new(), times.0, times.1);
            head.method = method.parse().expect("a method");
            for (name, value) in headers {
                head.headers.append(name, value);
            }
            head.vary = vary;
            head.tags = tags.iter().map(|tag| Tag::new(tag).expect("a tag")).collect();
            head.expires = times.2;
            [head.initial_age, head.fresh_for, head.stale_while_revalidate, head.stale_if_error] = durations;
            head.flags = flags;
            Entry::new(head, Body::new(body.into_iter().map(Bytes::from)))
        }
    }

    /// The bytes with the right checksum, so that the parser behind it is reached.
    fn sealed(mut bytes: Vec<u8>) -> Bytes {
        let checksum = xxh3_64(&bytes);
        bytes.put_u64(checksum);
        bytes.into()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entry in entry()) {
            let read = Entry::from_bytes(entry.to_bytes().expect("bytes")).expect("an entry");
            prop_assert_eq!(format!("{:?}", read.head()), format!("{:?}", entry.head()));
            prop_assert_eq!(read.body().chunks().concat(), entry.body().chunks().concat());
            prop_assert_eq!(read.to_bytes(), entry.to_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Entry::from_bytes(bytes.clone().into());
            let mut version = vec![VERSION];
            version.extend(bytes);
            let _ = Entry::from_bytes(sealed(version));
        }

        #[test]
        fn a_changed_byte_is_noticed(entry in entry(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let mut bytes = entry.to_bytes().expect("bytes").to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(Entry::from_bytes(bytes.into()).is_err());
        }

        #[test]
        fn a_changed_byte_with_the_right_checksum_is_read_or_refused(
            entry in entry(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
        ) {
            let mut bytes = entry.to_bytes().expect("bytes").to_vec();
            bytes.truncate(bytes.len() - CHECKSUM);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let _ = Entry::from_bytes(sealed(bytes));
        }

        #[test]
        fn cut_bytes_are_refused(entry in entry(), at in any::<prop::sample::Index>()) {
            let bytes = entry.to_bytes().expect("bytes");
            prop_assert!(Entry::from_bytes(bytes.slice(..at.index(bytes.len()))).is_err());
        }
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(Entry::from_bytes(vec![2; 100].into()).unwrap_err(), DecodeError::Version(2));
        assert_eq!(Entry::from_bytes(Bytes::new()).unwrap_err(), DecodeError::Damaged);
    }

    #[test]
    fn counts_without_content_allocate_nothing() {
        // A head that ends with 65 535 fields, of which none is there.
        let entry = Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), UNIX_EPOCH, UNIX_EPOCH), Body::default());
        let mut bytes = entry.to_bytes().expect("bytes").to_vec();
        // Behind the fields are the number of the vary fields, of tags, and the length of the body.
        let fields = bytes.len() - CHECKSUM - 8 - 2 - 2 - 2;
        bytes.truncate(fields);
        bytes.put_u16(u16::MAX);
        assert_eq!(Entry::from_bytes(sealed(bytes)).unwrap_err(), DecodeError::Damaged);
    }
}
