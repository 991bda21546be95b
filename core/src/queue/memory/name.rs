//! The names of the memory queue's leases: where the lease is kept, and which of all it is.

use std::hash::{DefaultHasher, Hasher};

use crate::queue::LeaseId;

/// Digits of a serial number and of a place, in hexadecimal.
const SERIAL_DIGITS: usize = 16;
const PLACE_DIGITS: usize = 8;
const NAME_DIGITS: usize = SERIAL_DIGITS + PLACE_DIGITS;

/// One lease: its place in the table, and a serial number that no other lease of the queue ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseKey {
    pub(super) serial: u64,
    pub(super) place: u32,
}

impl LeaseKey {
    /// The name that travels with the delivery. One allocation, of 40 bytes.
    pub(super) fn name(self) -> LeaseId {
        let mut digits = [0; NAME_DIGITS];
        write_hex(self.serial, &mut digits[..SERIAL_DIGITS]);
        write_hex(self.place.into(), &mut digits[SERIAL_DIGITS..]);
        // Hexadecimal digits are always text; an empty name, which no lease has, keeps this free of a panic.
        LeaseId::new(std::str::from_utf8(&digits).unwrap_or_default())
    }

    /// Reads a name; `None` when no memory queue gave it.
    pub(super) fn parse(name: &LeaseId) -> Option<Self> {
        let digits = name.as_str().as_bytes();
        if digits.len() != NAME_DIGITS {
            return None;
        }
        Some(Self {
            serial: read_hex(&digits[..SERIAL_DIGITS])?,
            place: u32::try_from(read_hex(&digits[SERIAL_DIGITS..])?).ok()?,
        })
    }
}

/// Where a queue's serial numbers begin: far apart for queues of different names, so that a lease shown to
/// the wrong queue is lost there instead of answering another's message. The same in every run of a program.
pub(super) fn first_serial(queue: &str) -> u64 {
    // With its fixed keys: `RandomState` would give another order of names in each process, and traces of a simulation
    // would differ.
    let mut hasher = DefaultHasher::new();
    hasher.write(queue.as_bytes());
    // The hash gives the upper half, so each queue has 2^32 serial numbers before it meets another's. Bit 0 is set, for
    // 0 is `FREE`.
    (hasher.finish() << 32) | 1
}

fn write_hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (serial, place) in [
            (0, 0),
            (1, 2),
            (u64::MAX, u32::MAX),
            (0x0123_4567_89ab_cdef, 7),
        ] {
            let key = LeaseKey { serial, place };
            assert_eq!(LeaseKey::parse(&key.name()), Some(key));
        }
    }

    #[test]
    fn foreign_names_are_refused() {
        let long = "0".repeat(NAME_DIGITS + 1);
        for name in [
            "",
            "projects/p/ack",
            "00000000000000000000000G",
            "00000000000000000000000ä",
            &long,
        ] {
            assert_eq!(LeaseKey::parse(&LeaseId::new(name)), None, "{name:?}");
        }
    }

    #[test]
    fn queues_of_different_names_number_apart() {
        assert_ne!(first_serial("tasks") >> 32, first_serial("results") >> 32);
        assert_eq!(first_serial("tasks"), first_serial("tasks"));
    }
}
