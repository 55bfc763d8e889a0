/// The maximum number of endpoints that a strategy may draw and compare.
pub(crate) const MAX_CHOICES: usize = 10;

/// The number of endpoints that a pick draws and compares. Range: 2 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choices(u8);

impl Choices {
    pub(crate) const TWO: Self = Self(2);
    pub(crate) const EIGHT: Self = Self(8);

    pub(crate) const fn new(choices: usize) -> Result<Self, InvalidChoices> {
        if choices >= 2 && choices <= MAX_CHOICES { Ok(Self(choices as u8)) } else { Err(InvalidChoices { choices }) }
    }

    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for Choices {
    fn default() -> Self {
        Self::TWO
    }
}

/// The error for a number of choices that is not in the range from 2 to 10. The number of choices is the number of
/// endpoints that a pick draws and compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pick cannot compare {choices} endpoints: use 2 to 10, `Random` for 1, or `LeastConnections` for all")]
#[non_exhaustive]
pub struct InvalidChoices {
    /// The number of choices (endpoints that a pick compares) that was given.
    pub choices: usize,
}
