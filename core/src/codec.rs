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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Order {
        id: u64,
        symbol: String,
        side: Side,
        fills: Vec<(i32, f64)>,
        tags: BTreeMap<String, Option<bool>>,
        parent: Option<Box<Self>>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Side {
        Unknown,
        Code(char),
        Pair(i128, u8),
        Named { text: String, bytes: Vec<u8> },
    }

    fn side() -> impl Strategy<Value = Side> {
        prop_oneof![
            Just(Side::Unknown),
            any::<char>().prop_map(Side::Code),
            any::<(i128, u8)>().prop_map(|(a, b)| Side::Pair(a, b)),
            any::<(String, Vec<u8>)>().prop_map(|(text, bytes)| Side::Named { text, bytes }),
        ]
    }

    fn order() -> impl Strategy<Value = Order> {
        let fills = prop::collection::vec((any::<i32>(), -1e300..1e300_f64), 0..20);
        let tags = prop::collection::btree_map(any::<String>(), any::<Option<bool>>(), 0..5);
        let leaf = (any::<u64>(), any::<String>(), side(), fills, tags);
        let leaf = leaf.prop_map(|(id, symbol, side, fills, tags)| Order {
            id,
            symbol,
            side,
            fills,
            tags,
            parent: None,
        });
        prop::collection::vec(leaf, 1..4).prop_map(|chain| {
            let link =
                |parent: Option<Box<Order>>, order| Some(Box::new(Order { parent, ..order }));
            *chain.into_iter().fold(None, link).expect("one at least")
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(order in order()) {
            let bytes = encode(&order).unwrap();
            prop_assert_eq!(decode::<Order>(&bytes).unwrap(), order);
        }

        #[test]
        fn bytes_after_the_value_are_refused(order in order(), tail in 1_usize..9) {
            let mut bytes = encode(&order).unwrap();
            bytes.resize(bytes.len() + tail, 0);
            prop_assert_eq!(decode::<Order>(&bytes), Err(CodecError::Trailing(tail)));
        }

        #[test]
        fn a_value_that_is_cut_is_refused(order in order(), part in 0.0..1.0_f64) {
            let bytes = encode(&order).unwrap();
            let kept = (bytes.len() as f64 * part) as usize;
            let cut = decode::<Order>(&bytes[..kept]);
            prop_assert!(matches!(cut, Err(CodecError::Decode(_))), "{:?}", cut);
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(order) = decode::<Order>(&bytes) {
                prop_assert_eq!(decode::<Order>(&encode(&order).unwrap()).unwrap(), order);
            }
        }
    }

    #[test]
    fn a_false_length_is_refused_before_memory_is_allocated() {
        for length in [SMALL_LIMIT as u64 + 1, 1 << 30, 1 << 40, u64::MAX] {
            let mut bytes = encode(&length).unwrap();
            bytes.extend_from_slice(b"short");
            let text = decode::<String>(&bytes);
            assert_eq!(text, Err(CodecError::Decode("LimitExceeded".to_owned())));
            // A sequence grows as its elements come, so it ends with the bytes.
            assert!(decode::<Vec<u64>>(&bytes).is_err());
            assert!(decode::<BTreeMap<u64, u64>>(&bytes).is_err());
        }
    }

    #[test]
    fn the_limits_let_true_values_pass() {
        // One byte each on the wire, eight claimed.
        let small = vec![1_u64; SMALL - 8];
        let bytes = encode(&small).unwrap();
        assert!(bytes.len() <= SMALL);
        assert_eq!(decode::<Vec<u64>>(&bytes).unwrap().len(), small.len());
        let large = vec![1_u128; SMALL];
        let bytes = encode(&large).unwrap();
        assert!(bytes.len() > SMALL);
        assert_eq!(decode::<Vec<u128>>(&bytes).unwrap().len(), large.len());
    }

    #[test]
    fn large_bytes_are_a_part_of_what_they_are_decoded_from() {
        for (length, shared) in [(10, false), (SHARED, true), (SMALL + 1, true)] {
            let value = vec![7; length];
            let encoded = Bytes::from(encode(&Bytes::from(value.clone())).unwrap());
            let decoded: Bytes = decode_shared(&encoded).unwrap();
            assert_eq!(decoded, value);
            let inside = encoded.as_ptr_range().contains(&decoded.as_ptr());
            assert_eq!(inside, shared, "{length}");
            // Other types are decoded as ever.
            assert_eq!(decode_shared::<Vec<u8>>(&encoded).unwrap(), value);
        }
    }

    #[test]
    fn shared_bytes_of_another_length_are_refused() {
        let encoded = encode(&Bytes::from(vec![7; SHARED])).unwrap();
        let cut = Bytes::from(encoded[..SHARED].to_vec());
        assert!(matches!(
            decode_shared::<Bytes>(&cut),
            Err(CodecError::Decode(_))
        ));
        let long = Bytes::from([encoded, vec![0]].concat());
        assert_eq!(decode_shared::<Bytes>(&long), Err(CodecError::Trailing(1)));
    }

    #[test]
    fn no_arguments_take_no_bytes() {
        assert!(encode(&()).unwrap().is_empty());
        assert_eq!(decode::<()>(&[]), Ok(()));
        assert_eq!(decode::<()>(&[0]), Err(CodecError::Trailing(1)));
    }

    #[test]
    fn a_json_value_does_not_come_back() {
        // This is why the trace of a shape refuses self-describing types.
        let bytes = encode(&serde_json::json!({"a": 1})).unwrap();
        assert!(decode::<serde_json::Value>(&bytes).is_err());
    }
}
