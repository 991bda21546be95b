//! The MAC (message authentication code) of a message: a keyed hash that only master and workers of one run can make.

use std::fmt;

/// The key that authenticates messages.
///
/// In one process nothing crosses a border, so the local queue carries messages without a MAC; a reader with a key
/// refuses them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MacKey {
    /// No MAC: the queue is in this process.
    Absent,
    /// Keyed BLAKE3 over the whole message.
    Keyed([u8; 32]),
}

/// Bytes of a MAC.
pub(super) const LENGTH: usize = 32;

// Keyed blake3 is a MAC by itself: no HMAC around it is needed. <https://github.com/BLAKE3-team/BLAKE3-specs>
impl MacKey {
    pub(super) const fn tag(&self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Keyed(_) => 1,
        }
    }

    pub(super) const fn length(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Keyed(_) => LENGTH,
        }
    }

    /// What closes a message: the keyed hash, or nothing.
    pub(super) fn hash(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Absent => Vec::new(),
            Self::Keyed(key) => blake3::keyed_hash(key, message).as_bytes().to_vec(),
        }
    }

    /// Whether `mac` closes `message`; the comparison takes the same time wherever they differ.
    pub(super) fn verifies(&self, message: &[u8], mac: &[u8]) -> bool {
        match self {
            Self::Absent => mac.is_empty(),
            // `blake3::Hash` compares in constant time, and does so with an array too: a forger learns nothing from how
            // long a refusal takes. <https://docs.rs/blake3/latest/blake3/struct.Hash.html>
            Self::Keyed(key) => <[u8; LENGTH]>::try_from(mac)
                .is_ok_and(|mac| blake3::keyed_hash(key, message) == mac),
        }
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Keyed(_) => "Keyed(…)",
        })
    }
}
