//! Values to bytes and back: bincode behind one door, with bounded decoding.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the encoding; part of every fingerprint.
pub const VERSION: u8 = 1;

/// Most bytes that decoding one value may claim for its containers: 1 GiB.
const DECODE_LIMIT: usize = 1 << 30;

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
    /// The value ended before its bytes did.
    #[error("{0} bytes are left after the value")]
    Trailing(usize),
}

const fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
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
    bincode::serde::encode_into_std_write(value, bytes, config())
        .map(drop)
        .map_err(|error| CodecError::Encode(error.to_string()))
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// [`CodecError::Decode`] when the bytes are no such value, [`CodecError::Trailing`] when some are left.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    match bytes.len() - read {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}
