//! Tests of the bound on the stack.

use serde::{Deserialize, Serialize};

use crate::codec::{CodecError, decode, encode};

#[derive(Serialize, Deserialize)]
enum List {
    End,
    Next(Box<Self>),
}

impl Drop for List {
    // Not by recursion, so that only encoding and decoding are tried.
    fn drop(&mut self) {
        let Self::Next(first) = self else { return };
        let mut next = std::mem::replace(&mut **first, Self::End);
        while let Self::Next(inner) = &mut next {
            next = std::mem::replace(&mut **inner, Self::End);
        }
    }
}

fn list(depth: usize) -> List {
    (0..depth).fold(List::End, |list, _| List::Next(Box::new(list)))
}

/// Bytes of a list of any depth: a tag for each.
fn bytes(depth: usize) -> Vec<u8> {
    let mut bytes = vec![1; depth];
    bytes.push(0);
    bytes
}

#[test]
fn what_is_nested_too_deep_is_an_error_on_a_thread_of_2_mib() {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let tried = thread.spawn(|| {
        assert_eq!(encode(&list(1_000)).unwrap(), bytes(1_000));
        assert!(decode::<List>(&bytes(1_000)).is_ok());
        for depth in [100_000, 1_000_000] {
            assert_eq!(
                decode::<List>(&bytes(depth)).err(),
                Some(CodecError::TooDeep)
            );
            assert_eq!(encode(&list(depth)), Err(CodecError::TooDeep));
        }
    });
    tried.unwrap().join().unwrap();
}

#[test]
fn what_is_flat_may_be_of_any_length() {
    let words = vec![Some("word".to_owned()); 300_000];
    assert_eq!(
        decode::<Vec<Option<String>>>(&encode(&words).unwrap()),
        Ok(words)
    );
}
