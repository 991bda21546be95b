//! The seal on a message: a keyed hash that only master and workers of one run can make.

use std::fmt;

/// How messages are sealed.
///
/// In one process nothing crosses a border, so the local queue carries unsealed messages; a reader with a key
/// refuses them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seal {
    /// No seal: the queue lives in this process.
    Unsealed,
    /// Keyed BLAKE3 over the whole message.
    Keyed([u8; 32]),
}

/// Bytes of a keyed seal.
pub(super) const LENGTH: usize = 32;

impl Seal {
    pub(super) const fn tag(&self) -> u8 {
        match self {
            Self::Unsealed => 0,
            Self::Keyed(_) => 1,
        }
    }

    pub(super) const fn length(&self) -> usize {
        match self {
            Self::Unsealed => 0,
            Self::Keyed(_) => LENGTH,
        }
    }

    /// What closes a message: the keyed hash, or nothing.
    pub(super) fn hash(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Unsealed => Vec::new(),
            Self::Keyed(key) => blake3::keyed_hash(key, message).as_bytes().to_vec(),
        }
    }

    /// Whether `seal` closes `message`; the comparison takes the same time wherever they differ.
    pub(super) fn verifies(&self, message: &[u8], seal: &[u8]) -> bool {
        match self {
            Self::Unsealed => seal.is_empty(),
            Self::Keyed(key) => <[u8; LENGTH]>::try_from(seal)
                .is_ok_and(|seal| blake3::keyed_hash(key, message) == seal),
        }
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsealed => "Unsealed",
            Self::Keyed(_) => "Keyed(…)",
        })
    }
}
