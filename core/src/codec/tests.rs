//! Tests of encoding and bounded decoding.

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
        let link = |parent: Option<Box<Order>>, order| Some(Box::new(Order { parent, ..order }));
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
