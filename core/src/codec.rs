//! Values to bytes and back: bincode behind one door, with bounded decoding.

use std::any::{Any, TypeId};
use std::io::Write;

use bincode::config::Config;
use bincode::de::{BorrowDecode, BorrowDecoder, DecoderImpl};
use bincode::error::{DecodeError, EncodeError};
use bincode::serde::BorrowCompat;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::outcome::{Cause, Failure, MESSAGE, displayed};

mod piece;
mod watched;

pub use self::piece::{Lent, Owned};
use self::watched::{TOO_DEEP, WatchedReader, WatchedWriter};

/// The version of the encoding; part of every fingerprint.
pub const VERSION: u8 = 1;

/// Encoded size up to which a value counts as small: 1 MiB.
const SMALL: usize = 1 << 20;

/// Shorter values are copied rather than shared, so that they do not keep a whole message in memory: 64 KiB.
const SHARED: usize = 64 << 10;

/// Most bytes that decoding a small value may claim. A number that takes a byte on the wire claims up to 16,
/// so no true value comes near; a length that lies is refused before anything is allocated for it.
// A message from elsewhere may state any length: 16 MiB is the most that a false length in a small message can make the
// decoder allocate.
const SMALL_LIMIT: usize = 16 * SMALL;

/// Most bytes that decoding any other value may claim: what 1 GiB of encoded numbers needs.
const LARGE_LIMIT: usize = 16 << 30;

/// Why a value could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value's `Serialize` refused.
    #[error("the value cannot be encoded: {0}")]
    Encode(String),
    /// The bytes are not such a value.
    #[error("the bytes cannot be decoded: {0}")]
    Decode(String),
    /// Following the value would overflow the stack.
    #[error(
        "it is nested so deep that following it takes more than 1 MiB of stack; keep its parts in one vector, with indexes for links, or encode it to bytes first"
    )]
    TooDeep,
    /// The value ended before its bytes did.
    #[error("{0} bytes are left after the value")]
    Trailing(usize),
}

impl Failure {
    /// Arguments or output that cannot be encoded or decoded.
    #[must_use]
    pub fn codec(error: &CodecError) -> Self {
        Self {
            retryable: false,
            ..Self::new(Cause::Rejected, error.to_string())
        }
    }
}

// The limit is part of the configuration's type, as bincode has it: hence the constant.
const fn config<const LIMIT: usize>() -> impl Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Encodes a value.
///
/// # Errors
/// [`CodecError::Encode`] when the value's `Serialize` refuses.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

/// Appends an encoded value.
///
/// # Errors
/// [`CodecError::Encode`] when the value's `Serialize` refuses; `bytes` may then hold a part of it.
pub fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), CodecError> {
    write(value, bytes)
}

/// Writes an encoded value.
///
/// # Errors
/// [`CodecError::Encode`] when the value's `Serialize` or the writer refuses; a part may be written then.
pub(crate) fn write<T: Serialize + ?Sized>(
    value: &T,
    writer: &mut impl Write,
) -> Result<(), CodecError> {
    let writer = WatchedWriter::new(writer);
    bincode::serde::encode_into_writer(value, writer, bincode::config::standard()).map_err(
        |error| match error {
            EncodeError::Other(TOO_DEEP) => CodecError::TooDeep,
            error => CodecError::Encode(displayed(&error, MESSAGE)),
        },
    )
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// [`CodecError::Decode`] when the bytes are no such value, [`CodecError::Trailing`] when some are left.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    // Two limits, and each a constant of its own type: with one limit for all, a message of 20 bytes could claim 16
    // GiB.
    let decoded = if bytes.len() <= SMALL {
        read(bytes, config::<SMALL_LIMIT>())
    } else {
        read(bytes, config::<LARGE_LIMIT>())
    };
    match decoded {
        Ok((value, 0)) => Ok(value),
        Ok((_, left)) => Err(CodecError::Trailing(left)),
        Err(DecodeError::Other(TOO_DEEP)) => Err(CodecError::TooDeep),
        Err(error) => Err(CodecError::Decode(displayed(&error, MESSAGE))),
    }
}

/// Decodes a value, and returns how many bytes are left.
fn read<T: DeserializeOwned>(bytes: &[u8], config: impl Config) -> Result<(T, usize), DecodeError> {
    let mut decoder = DecoderImpl::new(WatchedReader::new(bytes), config, ());
    let BorrowCompat(value) = BorrowCompat::borrow_decode(&mut decoder)?;
    Ok((value, decoder.borrow_reader().left()))
}

/// Decodes the whole output of a task from bytes that are shared: a large [`Bytes`] is a part of them and not a copy.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_shared<T: DeserializeOwned + 'static>(bytes: &Bytes) -> Result<T, CodecError> {
    // Known when the function is compiled for `T`: other types pay nothing for the question.
    if TypeId::of::<T>() == TypeId::of::<Bytes>() && bytes.len() >= SHARED {
        let mut part = shared_part(bytes);
        let part: &mut dyn Any = &mut part;
        if let Some(value) = part.downcast_mut::<Option<T>>().and_then(Option::take) {
            return Ok(value);
        }
    }
    decode(bytes).map(|Owned(value)| value)
}

/// The content of encoded `Bytes` after their length; `None` when they are no such value.
fn shared_part(bytes: &Bytes) -> Option<Bytes> {
    let (length, read): (u64, usize) =
        bincode::serde::decode_from_slice(bytes, config::<SMALL_LIMIT>()).ok()?;
    let part = bytes.slice(read..);
    // What does not fit is left to `decode`, which reports whether bytes are missing or left over.
    (part.len() as u64 == length).then_some(part)
}

#[cfg(test)]
mod tests;
