use argon2::{Algorithm, Argon2, Params, PasswordVerifier, password_hash::phc};

/// The maximum memory of argon2 in KiB: 256 MiB. Each verification that runs needs it.
const MAX_MEMORY: u32 = 256 * 1024;
/// The maximum number of passes of argon2. With the maximum memory, a verification takes several seconds.
const MAX_PASSES: u32 = 16;
/// The maximum parallelism of argon2.
const MAX_LANES: u32 = 16;
/// The minimum length of the output and of the salt of argon2, in bytes.
const MIN_OUTPUT: usize = 16;
const MIN_SALT: usize = 8;
/// The number of bytes of a password that bcrypt reads. Two passwords with the same first 72 bytes have the same hash.
const BCRYPT_BYTES: usize = 72;
/// The maximum cost of bcrypt. A verification with it takes several seconds, and each step doubles it.
const MAX_COST: u32 = 16;

/// The hash of a password in a form that can be verified.
#[derive(Clone)]
pub(super) struct PasswordHash {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Argon2(Box<phc::PasswordHash>),
    Bcrypt,
}

/// Why a text is not a hash that can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashError {
    /// The kind is not supported. The text names it.
    Unsupported(&'static str),
    Malformed,
    /// A verification would take too much time or memory.
    TooExpensive,
    TooWeak,
}

impl PasswordHash {
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        let kind = match text {
            _ if text.starts_with("$argon2id$") || text.starts_with("$argon2i$") => Self::argon2(text)?,
            _ if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) => Self::bcrypt(text)?,
            _ => return Err(HashError::Unsupported(unsupported(text))),
        };
        Ok(Self { text: text.into(), kind })
    }

    fn argon2(text: &str) -> Result<Kind, HashError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| HashError::Malformed)?;
        let params = Params::try_from(&hash).map_err(|_| HashError::Malformed)?;
        if params.m_cost() > MAX_MEMORY || params.t_cost() > MAX_PASSES || params.p_cost() > MAX_LANES {
            return Err(HashError::TooExpensive);
        }
        let (Some(salt), Some(output)) = (&hash.salt, &hash.hash) else { return Err(HashError::Malformed) };
        if salt.len() < MIN_SALT || output.len() < MIN_OUTPUT {
            return Err(HashError::TooWeak);
        }
        // Checked now what a verification would refuse.
        Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| HashError::Malformed)?;
        if let Some(version) = hash.version {
            argon2::Version::try_from(version).map_err(|_| HashError::Malformed)?;
        }
        Ok(Kind::Argon2(Box::new(hash)))
    }

    fn bcrypt(text: &str) -> Result<Kind, HashError> {
        let parts: bcrypt::HashParts = text.parse().map_err(|_| HashError::Malformed)?;
        match parts.get_cost() {
            ..4 => Err(HashError::Malformed),
            4..=MAX_COST => Ok(Kind::Bcrypt),
            _ => Err(HashError::TooExpensive),
        }
    }

    /// Returns the hash as it was given.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether all bytes of a password make a difference to the hash.
    pub(super) fn reads_all_of(&self, password: &str) -> bool {
        match &self.kind {
            Kind::Argon2(_) => true,
            Kind::Bcrypt => password.len() <= BCRYPT_BYTES,
        }
    }

    /// Returns whether this is the hash of a password, and of no longer one. The outputs are compared in constant time.
    /// It takes as long as the parameters of the hash demand: run it where it may block.
    pub(super) fn is_of(&self, password: &str) -> bool {
        let is_same = match &self.kind {
            Kind::Argon2(hash) => Argon2::default().verify_password(password.as_bytes(), &**hash).is_ok(),
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
        };
        is_same & self.reads_all_of(password)
    }
}

/// Returns the name of the kind of a hash that is not supported.
fn unsupported(text: &str) -> &'static str {
    let kinds = [
        ("$apr1$", "MD5 ($apr1$)"),
        ("$1$", "MD5 ($1$)"),
        ("{SHA}", "unsalted SHA-1 ({SHA})"),
        ("{SSHA}", "SHA-1 ({SSHA})"),
        ("$5$", "SHA-256 crypt ($5$)"),
        ("$6$", "SHA-512 crypt ($6$)"),
        ("$2x$", "bcrypt of a faulty version ($2x$)"),
        ("$argon2d$", "argon2d"),
        ("$scrypt$", "scrypt"),
        ("$y$", "yescrypt ($y$)"),
        ("$", "another kind of hash"),
        ("{", "another kind of hash"),
    ];
    kinds.iter().find(|(prefix, _)| text.starts_with(prefix)).map_or("a plain password or DES crypt", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> HashError {
        PasswordHash::parse(text).map(drop).expect_err("an error")
    }

    /// `printf %s 'correct horse' | argon2 somesalt1 -id -t 2 -m 12 -p 1 -e` (argon2 0~20190702 of Debian), `-i` for
    /// the second, and `htpasswd -nbB ann 'correct horse'` (apache2-utils 2.4) for the third.
    const HASHES: [&str; 3] = [
        "$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHQx$Oiu2YOFkrigqayNuUcUfJhVS/j7lC0vT+w+/DziLLVI",
        "$argon2i$v=19$m=4096,t=2,p=1$c29tZXNhbHQx$EmrYMDTnql/cFEtCFF3DQ0qM5h6Jz0XCZtqksbRRQ/E",
        "$2y$05$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLoi",
    ];

    #[test]
    fn hashes_of_other_programs_are_verified() {
        for text in HASHES {
            let hash = PasswordHash::parse(text).expect("a hash");
            assert!(hash.is_of("correct horse"), "{text}");
            for password in ["", "correct hors", "correct horse ", "Correct horse", "correct horse\0"] {
                assert!(!hash.is_of(password), "{text} {password:?}");
            }
        }
        // `htpasswd -nbBC 4 bob 'b:c ü'`.
        let hash = "$2y$04$mWzPeKhZCCGFOGbPx89QQ.ehavLzHaKY0bR.WVymO7.YOc3QwM2Ka";
        assert!(PasswordHash::parse(hash).expect("a hash").is_of("b:c ü"));
        let same = hash.replacen("$2y$", "$2b$", 1);
        assert!(PasswordHash::parse(&same).expect("a hash").is_of("b:c ü"));
    }

    #[test]
    fn a_password_is_not_accepted_because_of_its_first_72_bytes() {
        // `htpasswd -nbBC 4 ann` with 72 `x`, and the same password for argon2 as above.
        let bcrypt = "$2y$04$VaugdxT.4qQMCyjaWcty7uI3bo2mqL10/UOvc0mM.jJHUed4aiPwy";
        let bcrypt = PasswordHash::parse(bcrypt).expect("a hash");
        let password = "x".repeat(72);
        assert!(bcrypt.is_of(&password) && bcrypt.reads_all_of(&password));
        for longer in ["x".repeat(73), "x".repeat(71) + "ü", "x".repeat(72) + "tail"] {
            assert!(!bcrypt.is_of(&longer) && !bcrypt.reads_all_of(&longer), "{longer}");
        }
        assert!(!bcrypt.is_of(&"x".repeat(71)));
        assert!(PasswordHash::parse(HASHES[0]).expect("a hash").reads_all_of(&"x".repeat(73)));
    }

    #[test]
    fn hashes_that_would_take_too_long_are_refused() {
        let argon2 = |params: &str| HASHES[0].replace("m=4096,t=2,p=1", params);
        for params in ["m=262145,t=2,p=1", "m=4294967295,t=1,p=1", "m=4096,t=17,p=1", "m=4096,t=2,p=17"] {
            assert_eq!(refused(&argon2(params)), HashError::TooExpensive, "{params}");
        }
        assert!(PasswordHash::parse(&argon2("m=262144,t=16,p=16")).is_ok());
        let bcrypt = |cost: &str| HASHES[2].replace("$05$", cost);
        assert_eq!(refused(&bcrypt("$17$")), HashError::TooExpensive);
        assert_eq!(refused(&bcrypt("$31$")), HashError::TooExpensive);
        assert!(PasswordHash::parse(&bcrypt("$16$")).is_ok());
    }

    #[test]
    fn malformed_hashes_are_refused() {
        let argon2 = HASHES[0];
        for text in [
            "$2y$",
            "$2y$03$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLoi",
            "$2y$+5$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLo",
            "$2y$05$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLé",
            "$argon2id$",
            "$argon2id$v=19$m=4096,t=2,p=1",
            "$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHQx",
            &argon2.replace("m=4096", "m=-1"),
            &argon2.replace("m=4096", "m=1"),
            &argon2.replace("t=2", "t=0"),
            &argon2.replace("v=19", "v=1"),
        ] {
            assert_eq!(refused(text), HashError::Malformed, "{text}");
        }
        assert_eq!(refused("$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHQx$Oiu2YOFkrigqayM"), HashError::TooWeak);
    }

    #[test]
    fn other_kinds_are_refused_with_their_name() {
        // From `htpasswd -nb` with `-s`, `-m`, `-d`, `-p`, `-2` and `-5`.
        for (text, kind) in [
            ("{SHA}6dcfXufJLW3J6S/9rRe4vUlBj5g=", "unsalted SHA-1 ({SHA})"),
            ("$apr1$mC2yDXGT$i7.OaVq2rXMhBYZMFBWZh.", "MD5 ($apr1$)"),
            ("lwv8Gc7Ag.Noo", "a plain password or DES crypt"),
            ("b", "a plain password or DES crypt"),
            ("", "a plain password or DES crypt"),
            ("$5$6l9e9y9nm1qLSuaD$SP9zPNxS6rDm9efOTKVwh2fSbGISb44Uq4s4oByCG81", "SHA-256 crypt ($5$)"),
            ("$6$GQRG7X8WFSjsVGxc$KbXc6", "SHA-512 crypt ($6$)"),
            ("$2x$05$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLoi", "bcrypt of a faulty version ($2x$)"),
            ("$argon2d$v=19$m=4096,t=2,p=1$a$b", "argon2d"),
        ] {
            assert_eq!(refused(text), HashError::Unsupported(kind), "{text}");
        }
    }
}
