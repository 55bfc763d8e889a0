use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Refused, Session};

pub(super) type Tag = [u8; 8];

const VERSION: u8 = 1;
const BODY: usize = 26;
const MAC: usize = 16;
const LEN: usize = BODY + MAC;
/// 42 bytes are 56 characters and no bit more, so there is one spelling of each token.
const TEXT: usize = LEN / 3 * 4;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) kid: u8,
    pub(super) session: Session,
    pub(super) seen: u32,
    pub(super) tag: Tag,
}

impl Body {
    pub(super) fn sign(&self, mac: Hmac<Sha256>) -> String {
        let mut bytes = [0; LEN];
        let (body, seal) = bytes.split_at_mut(BODY);
        let fields = [VERSION, self.kid]
            .into_iter()
            .chain(self.session.began.to_be_bytes())
            .chain(self.seen.to_be_bytes())
            .chain(self.session.nonce)
            .chain(self.tag);
        body.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let whole = mac.chain_update(&*body).finalize().into_bytes();
        seal.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// A token whose MAC nobody has looked at.
pub(super) struct Unverified {
    pub(super) kid: u8,
    bytes: [u8; LEN],
}

impl Unverified {
    pub(super) fn read(text: &[u8]) -> Result<Self, Refused> {
        let mut bytes = [0; LEN];
        if text.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(LEN) {
            return Err(Refused::Malformed);
        }
        match bytes {
            [VERSION, kid, ..] => Ok(Self { kid, bytes }),
            _ => Err(Refused::Malformed),
        }
    }

    pub(super) fn verify(self, mac: Hmac<Sha256>) -> Result<Body, Refused> {
        let (body, seal) = self.bytes.split_at(BODY);
        mac.chain_update(body).verify_truncated_left(seal).map_err(|_| Refused::Forged)?;
        let body: &[u8; BODY] = body.first_chunk().ok_or(Refused::Malformed)?;
        let &[_, kid, b0, b1, b2, b3, s0, s1, s2, s3, ref rest @ ..] = body;
        let &[n0, n1, n2, n3, n4, n5, n6, n7, ref tag @ ..] = rest;
        let session = Session { nonce: [n0, n1, n2, n3, n4, n5, n6, n7], began: u32::from_be_bytes([b0, b1, b2, b3]) };
        Ok(Body { kid, session, seen: u32::from_be_bytes([s0, s1, s2, s3]), tag: *tag })
    }
}
