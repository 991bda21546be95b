//! A bound on the stack that encoding and decoding take.
//!
//! serde follows a value by recursion: a list or a tree that is nested deep enough would overflow the stack, and that ends
//! the process. The depth is measured by what it costs, which is how far the stack has grown since the beginning. A value
//! can be endless only through a tag or a length, so whatever reads and writes bytes comes by often enough to look.

use std::hint::black_box;
use std::io::Write;

use bincode::de::read::{BorrowReader, Reader};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};

/// Most bytes of stack that one value takes: 1 MiB. Threads of std and of tokio have 2 MiB, so that what the caller took
/// before, and the value's drop later, find room beside it.
// Half of the usual 2 MiB: with all of it, the value's own drop, which follows the same depth, could overflow the stack
// afterwards.
const MOST: usize = 1 << 20;

/// The error for bincode when the stack is used up; no other code reads it.
pub(super) const TOO_DEEP: &str = "nested too deep";

/// Where the stack stood at the beginning.
#[derive(Clone, Copy, Debug)]
struct Stack(usize);

impl Stack {
    #[inline]
    fn here() -> Self {
        let place = 0_u8;
        // `black_box` keeps the variable on the stack: an optimizer could else give one place for all calls.
        Self(std::ptr::from_ref(black_box(&place)).addr())
    }

    #[inline]
    fn is_spent(self) -> bool {
        // A distance and not a direction: stacks grow downwards on every system of today, and this does not depend on
        // it.
        Self::here().0.abs_diff(self.0) > MOST
    }
}

/// Reads from a slice while there is stack.
#[derive(Debug)]
pub(super) struct WatchedReader<'a> {
    left: &'a [u8],
    stack: Stack,
}

impl<'a> WatchedReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            left: bytes,
            stack: Stack::here(),
        }
    }

    /// How many bytes were not read.
    pub(super) const fn left(&self) -> usize {
        self.left.len()
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        // A subtraction for each read. A counter of levels would need a hook in each type.
        if self.stack.is_spent() {
            return Err(DecodeError::Other(TOO_DEEP));
        }
        let Some((taken, left)) = self.left.split_at_checked(length) else {
            let additional = length - self.left.len();
            return Err(DecodeError::UnexpectedEnd { additional });
        };
        self.left = left;
        Ok(taken)
    }
}

impl Reader for WatchedReader<'_> {
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        let taken = self.take(bytes.len())?;
        bytes.copy_from_slice(taken);
        Ok(())
    }

    /// Without stack it gives nothing, so that bincode calls `read`, which returns the reason.
    #[inline]
    fn peek_read(&mut self, length: usize) -> Option<&[u8]> {
        self.left.get(..length).filter(|_| !self.stack.is_spent())
    }

    #[inline]
    fn consume(&mut self, length: usize) {
        self.left = self.left.get(length..).unwrap_or_default();
    }
}

impl<'a> BorrowReader<'a> for WatchedReader<'a> {
    #[inline]
    fn take_bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        self.take(length)
    }
}

/// Writes on while there is stack.
#[derive(Debug)]
pub(super) struct WatchedWriter<'a, W> {
    to: &'a mut W,
    stack: Stack,
}

impl<'a, W: Write> WatchedWriter<'a, W> {
    pub(super) fn new(to: &'a mut W) -> Self {
        Self {
            to,
            stack: Stack::here(),
        }
    }
}

impl<W: Write> Writer for WatchedWriter<'_, W> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.stack.is_spent() {
            return Err(EncodeError::Other(TOO_DEEP));
        }
        self.to
            .write_all(bytes)
            .map_err(|inner| EncodeError::Io { inner, index: 0 })
    }
}

#[cfg(test)]
mod tests;
