//! The encoded result of a task: in place when it is short, a part of its message when it is not.

use std::fmt;

use bytes::Bytes;
use podpool_core::codec::{self, CodecError};
use serde::de::DeserializeOwned;

/// Longest result that is kept in place: what fits beside a tag and a length in the width of the other variant.
// `Bytes` takes 32 bytes, and the tag makes it 40 with its alignment: 40 less a byte for the tag and one for the
// length. A byte more would make every cell 8 bytes larger; fewer would only leave room unused.
pub(crate) const INLINE: usize = 38;

/// An encoded result. Short ones are copied, so that they neither count references nor hold on to a whole message.
#[derive(Clone)]
pub(crate) enum Output {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Bytes),
}

/// Its length: the content is the user's.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_slice().len())
    }
}

impl Output {
    /// No bytes: the result of a task that returns `()`, and of one whose future was dropped.
    pub(crate) const EMPTY: Self = Self::Inline {
        length: 0,
        bytes: [0; INLINE],
    };

    /// The part of a message that holds the result. `part` lies within `message`.
    pub(crate) fn part(message: &Bytes, part: &[u8]) -> Self {
        Self::inline(part).unwrap_or_else(|| Self::Shared(message.slice_ref(part)))
    }

    fn inline(part: &[u8]) -> Option<Self> {
        let length = u8::try_from(part.len()).ok()?;
        let mut bytes = [0; INLINE];
        bytes.get_mut(..part.len())?.copy_from_slice(part);
        Some(Self::Inline { length, bytes })
    }

    /// The value.
    pub(crate) fn decode<T: DeserializeOwned + 'static>(&self) -> Result<T, CodecError> {
        match self {
            Self::Inline { .. } => codec::decode(self.as_slice()),
            Self::Shared(bytes) => codec::decode_shared(bytes),
        }
    }

    /// The encoded value, shared or copied.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Inline { .. } => Bytes::copy_from_slice(self.as_slice()),
            Self::Shared(bytes) => bytes.clone(),
        }
    }

    /// The encoded value.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<Bytes> for Output {
    fn from(bytes: Bytes) -> Self {
        Self::inline(&bytes).unwrap_or(Self::Shared(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_in_place_takes_no_more_room_than_a_shared_one() {
        assert_eq!(size_of::<Output>(), size_of::<Bytes>() + size_of::<usize>());
    }

    #[test]
    fn short_results_are_copied_and_long_ones_shared() {
        let message = Bytes::from((0..100).collect::<Vec<u8>>());
        for length in [0, 1, INLINE, INLINE + 1, 100] {
            let output = Output::part(&message, &message[..length]);
            assert_eq!(output.as_slice(), &message[..length]);
            assert_eq!(matches!(output, Output::Inline { .. }), length <= INLINE);
            assert_eq!(
                Output::from(message.slice(..length)).as_slice(),
                &message[..length]
            );
        }
    }
}
