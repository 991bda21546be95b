//! What a commit of a ledger survives.

use std::fmt;
use std::str::FromStr;

/// What a commit of a ledger survives. A killed process loses nothing at either setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Also a power loss: each commit is synced to the disk. The default.
    #[default]
    Full,
    /// Not a power loss: that may take the last commits, and leaves the ledger whole. Commits do not wait for the disk.
    Normal,
}

/// `full` or `normal`, as [`FromStr`] reads it.
impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "full",
            Self::Normal => "normal",
        })
    }
}

/// What a text that names no [`Durability`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ledger's durability is full or normal")]
#[non_exhaustive]
pub struct UnknownDurability;

impl FromStr for Durability {
    type Err = UnknownDurability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(UnknownDurability),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_back_and_another_is_refused() {
        for it in [Durability::Full, Durability::Normal] {
            assert_eq!(it.to_string().parse(), Ok(it));
        }
        for other in ["", "Full", "off"] {
            assert_eq!(other.parse::<Durability>(), Err(UnknownDurability));
        }
    }
}
