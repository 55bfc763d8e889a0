//! Values that are one of a few words.

use std::time::Duration;

use equipoise_core::spec::{Kind, Setting, Value};

use crate::Fallback;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[cfg($cfg:meta)])? $variant:ident = $word:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(super) enum $name {
                $($(#[cfg($cfg)])? $variant,)*
            }

            impl $name {
                pub(super) const WORDS: &'static [&'static str] = &[$($(#[cfg($cfg)])? $word,)*];

                pub(super) fn word(self) -> &'static str {
                    match self {
                        $($(#[cfg($cfg)])? Self::$variant => $word,)*
                    }
                }
            }

            impl Setting for $name {
                type Preset = Self;

                fn read(value: &Value) -> Option<Self> {
                    match value {
                        $($(#[cfg($cfg)])? Value::Choice($word) => Some(Self::$variant),)*
                        _ => None,
                    }
                }

                fn from_preset(preset: Self) -> Self {
                    preset
                }
            }
        )*
    };
}

words! {
    /// Where bindings are kept.
    By {
        Hash = "hash",
        Table = "table",
        #[cfg(feature = "redis")]
        Redis = "redis",
        Store = "store",
    }
    /// What names an endpoint in a cookie.
    Naming {
        Token = "token",
        Id = "id",
        Name = "name",
        Dynamic = "dynamic",
    }
    /// Whether browsers send a cookie with requests from other sites.
    SameSite {
        Strict = "Strict",
        Lax = "Lax",
        None = "None",
    }
}

impl By {
    /// Where bindings are kept on the balancer's side: all but `hash`.
    #[cfg(feature = "redis")]
    pub(super) const STORES: &'static [Self] = &[Self::Table, Self::Redis, Self::Store];
    #[cfg(not(feature = "redis"))]
    pub(super) const STORES: &'static [Self] = &[Self::Table, Self::Store];

    pub(super) const STORE_WORDS: &'static [&'static str] = match Self::WORDS {
        [_, stores @ ..] => stores,
        [] => &[],
    };
}

pub(super) const FALLBACK: Kind = Kind::ChoiceOrTimed {
    words: &["rebind", "refuse"],
    timed: "wait",
    from: Duration::from_millis(1),
    to: Duration::from_secs(3600),
};

// Of the kind `FALLBACK`.
impl Setting for Fallback {
    type Preset = Self;

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Choice("rebind") => Some(Self::Rebind),
            Value::Choice("refuse") => Some(Self::Refuse),
            Value::Timed("wait", longest) => Some(Self::Wait(*longest)),
            _ => None,
        }
    }

    fn from_preset(preset: Self) -> Self {
        preset
    }
}
