//! Vectors of bytes in one piece.
//!
//! serde takes a `Vec<u8>` for a sequence and visits every byte. A `Vec<u8>` that is a whole argument or a whole
//! output is recognised here and handed over as bytes, which are the same on the wire and four times as fast. One
//! inside another value is still visited; there `Bytes`, or serde's attribute for bytes, does the same.

use std::any::Any;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A value to encode.
#[derive(Debug)]
pub struct Lent<'a, T>(pub &'a T);

/// A value that was decoded.
#[derive(Debug)]
pub struct Owned<T>(pub T);

impl<T: Serialize + 'static> Serialize for Lent<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The comparison of types is decided when this is compiled for `T`, since `Any` compares a constant.
        let value: &dyn Any = self.0;
        match value.downcast_ref::<Vec<u8>>() {
            Some(bytes) => serializer.serialize_bytes(bytes),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned + 'static> Deserialize<'de> for Owned<T> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = None::<T>;
        let place: &mut dyn Any = &mut value;
        let Some(bytes) = place.downcast_mut::<Option<Vec<u8>>>() else {
            return T::deserialize(deserializer).map(Self);
        };
        *bytes = Some(deserializer.deserialize_byte_buf(InOnePiece)?);
        value
            .map(Self)
            .ok_or_else(|| D::Error::custom("bytes are missing"))
    }
}

struct InOnePiece;

impl Visitor<'_> for InOnePiece {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CodecError, decode, encode};
    use super::*;

    /// Both ways of encoding and decoding give the same.
    fn check<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + fmt::Debug + 'static,
    {
        let encoded = encode(&(Lent(value), 7_u8)).unwrap();
        assert_eq!(encoded, encode(&(value, 7_u8)).unwrap());
        let (Owned(decoded), rest): (Owned<T>, u8) = decode(&encoded).unwrap();
        assert_eq!((&decoded, rest), (value, 7));
        let (decoded, rest): (T, u8) = decode(&encoded).unwrap();
        assert_eq!((&decoded, rest), (value, 7));
    }

    #[test]
    fn the_wire_is_the_same_with_and_without() {
        for length in [0, 1, 250, 251, 300, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
            check(&bytes);
            check(&(bytes.clone(), "and more".to_owned()));
            check(
                &bytes
                    .iter()
                    .map(|byte| u64::from(*byte))
                    .collect::<Vec<_>>(),
            );
        }
        check(&"text".to_owned());
        check(&Some(vec![1_u8, 2]));
        check(&());
    }

    #[test]
    fn false_lengths_and_bytes_that_are_cut_are_refused() {
        let encoded = encode(&vec![9_u8; 1000]).unwrap();
        let cut = decode::<Owned<Vec<u8>>>(&encoded[..999]);
        assert!(matches!(cut, Err(CodecError::Decode(_))), "{cut:?}");
        let mut lying = encode(&u64::MAX).unwrap();
        lying.extend_from_slice(b"short");
        let refused = decode::<Owned<Vec<u8>>>(&lying);
        assert!(matches!(refused, Err(CodecError::Decode(_))), "{refused:?}");
    }
}
