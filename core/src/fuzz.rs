//! What the fuzz targets of this crate share. A target is a test that [bolero](https://docs.rs/bolero) runs with many
//! inputs: some hundred in `cargo test`, for 20 s in `.ci/run`, and with feedback from the code's coverage where
//! `cargo bolero` is installed.

use bolero::{ValueGenerator, produce};

/// Inputs of a target in `cargo test`; `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` set another number.
pub(crate) const INPUTS: usize = 500;

/// A change of bytes: where, which, and with what.
pub(crate) type Edit = (u16, u8, u8);

/// A few changes: more of them leave nothing of what is changed.
pub(crate) fn edits() -> impl ValueGenerator<Output = Vec<Edit>> {
    produce::<Vec<Edit>>().with().len(0_usize..8)
}

/// Changes bytes: sets, flips, adds and removes some, cuts them, and repeats a part.
pub(crate) fn edit(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for (at, how, value) in edits {
        let at = usize::from(*at) % (bytes.len() + 1);
        match (how % 8, bytes.get_mut(at)) {
            (0 | 1, Some(byte)) => *byte = *value,
            (2, Some(byte)) => *byte ^= 1 << (value % 8),
            // A length, or a number near its end.
            (3, Some(_)) => bytes[at..].iter_mut().take(8).for_each(|it| *it = 0xff),
            (4, Some(_)) => drop(bytes.drain(at..(at + usize::from(*value)).min(bytes.len()))),
            (5, _) => bytes.truncate(at),
            (6, _) => bytes.extend_from_within(at..),
            _ => bytes.insert(at, *value),
        }
    }
}
