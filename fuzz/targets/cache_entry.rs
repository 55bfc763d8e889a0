//! Any bytes are an entry of the cache or are refused, and an entry is read back as it was written.

#![no_main]

use equipoise_gateway::cache::store::Entry;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

fuzz_target!(|bytes: &[u8]| {
    let _ = Entry::from_bytes(bytes.to_vec().into());
    // With the version and the checksum that the parser asks for, the rest of it is reached.
    let mut sealed = vec![1];
    sealed.extend_from_slice(bytes);
    let checksum = xxh3_64(&sealed);
    sealed.extend_from_slice(&checksum.to_be_bytes());
    let Ok(entry) = Entry::from_bytes(sealed.into()) else { return };
    // Names may have been written in upper case: after one round, nothing changes any more.
    let written = entry.to_bytes().expect("it was read");
    let read = Entry::from_bytes(written.clone()).expect("it was written");
    assert_eq!(format!("{:?}", read.head()), format!("{:?}", entry.head()));
    assert_eq!(read.body().chunks().concat(), entry.body().chunks().concat());
    assert_eq!(read.to_bytes(), Some(written));
    // A size is counted for each part.
    assert!(read.size() as u64 >= read.body().len());
});
