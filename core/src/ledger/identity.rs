//! What makes two calls the same task of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a hash. Among a thousand million tasks two are equal by chance with a probability below 10^-20.
const BYTES: usize = 16;

/// The content of a call: a hash of its encoded arguments.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Content(pub [u8; BYTES]);

/// A call's place in its run. A call of the same identity is the same task, in whichever process it is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity(pub [u8; BYTES]);

impl Content {
    /// The content of a call with these arguments.
    #[must_use]
    pub fn of(arguments: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(arguments);
        Self(finish(&hasher))
    }
}

impl Identity {
    /// Of a call with a key: one task for each task and key. Its version is not a part: a task of another version takes the
    /// place of the one before it.
    #[must_use]
    pub fn keyed(name: &str, key: &str) -> Self {
        Self(of_parts(b"key", [Some(name), Some(key)], &[]))
    }

    /// Of a call without a key: its task and its content; of equal calls, how many of them the process has made before.
    // Version and shape are no part: a stored result of another one must be found, so that its computation can be
    // explained.
    #[must_use]
    pub fn counted(name: &str, content: Content, before: u64) -> Self {
        let mut rest = [0; BYTES + 8];
        rest[..BYTES].copy_from_slice(&content.0);
        rest[BYTES..].copy_from_slice(&before.to_le_bytes());
        Self(of_parts(b"content", [Some(name), None], &rest))
    }
}

fn of_parts(kind: &[u8], parts: [Option<&str>; 2], rest: &[u8]) -> [u8; BYTES] {
    let mut hasher = blake3::Hasher::new();
    part(&mut hasher, Some(kind));
    for text in parts {
        part(&mut hasher, text.map(str::as_bytes));
    }
    hasher.update(rest);
    finish(&hasher)
}

/// The length goes first, so that no part can pass for the start of the next.
fn part(hasher: &mut blake3::Hasher, bytes: Option<&[u8]>) {
    let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
    hasher.update(&length.to_le_bytes());
    hasher.update(bytes.unwrap_or_default());
}

fn finish(hasher: &blake3::Hasher) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_differs_is_another_task() {
        let (x, y) = (Content::of(b"x"), Content::of(b"y"));
        let identities = [
            Identity::counted("a", x, 0),
            Identity::counted("a", y, 0),
            Identity::counted("a", x, 1),
            Identity::counted("b", x, 0),
            Identity::keyed("a", "x"),
            Identity::keyed("ax", ""),
            Identity::keyed("", "ax"),
        ];
        let distinct: BTreeSet<_> = identities.into_iter().collect();
        assert_eq!(distinct.len(), identities.len());
        assert_eq!(identities[0], Identity::counted("a", Content::of(b"x"), 0));
    }
}
