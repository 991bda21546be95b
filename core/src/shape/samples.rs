//! The samples that a probe offers: the likeliest first.

/// Texts in the forms that common types read: dates, times, identifiers, addresses, numbers, units, names.
pub(super) const TEXTS: &[&str] = &[
    "a",
    "",
    "0",
    "1",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00",
    "2024-01-01T00:00:00+00:00[UTC]",
    "2024-01-01T00:00:00+00:00",
    "2024-01-01 00:00:00",
    "2024-01-01 00:00:00 +00:00",
    "00:00:00",
    "00:00",
    "P1D",
    "PT1S",
    "UTC",
    "Europe/London",
    "+00:00",
    "2024-01",
    "2024-W01",
    "2024-W01-1",
    "20240101",
    "Mon",
    "Monday",
    "January",
    "Mon, 01 Jan 2024 00:00:00 GMT",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "https://example.com/",
    "example.com",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "[::1]:80",
    "10.0.0.0/8",
    "fd00::/8",
    "00:00:5e:00:53:01",
    "1.0.0",
    "^1.0.0",
    "1.5",
    "-1",
    "1/2",
    "true",
    "a@example.com",
    "/a",
    "a/b",
    "a.b",
    "a=b",
    "a:b",
    "a-b",
    "a_b",
    "text/plain",
    "en",
    "en-US",
    "A",
    "AB",
    "USD",
    "EURUSD",
    "EUR/USD",
    "BTC-USD",
    "US0378331005",
    "info",
    "utf-8",
    "#ffffff",
    "00",
    "0x00",
    "AAAA",
    "0000000000000000",
    "00000000000000000000000000000000",
    "0000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "1s",
    "1 day",
    "1h",
    "1KiB",
    "1 MB",
    "50%",
    "*",
    "{}",
    "[]",
    "null",
];

/// One comes first: months, days, ordinals and non-zero numbers refuse zero, and few refuse one.
const INTEGERS: &[i128] = &[
    1,
    0,
    2,
    7,
    10,
    12,
    24,
    60,
    100,
    127,
    -1,
    255,
    1_000,
    2_024,
    20_240_101,
    1_704_067_200,
    1_704_067_200_000,
    1_704_067_200_000_000,
    1_704_067_200_000_000_000,
];

/// Finite numbers, and those that probabilities, angles and prices take.
pub(super) const FLOATS: &[f32] = &[1.0, 0.0, 0.5, -1.0, 10.0, 100.0, 1_000_000.0];

/// One of each kind.
pub(super) const CHARS: &[char] = &['a', 'A', '0', '1', '-', ' ', '\u{e9}'];

/// Both.
pub(super) const BOOLS: &[bool] = &[false, true];

/// Lengths of byte strings: a UUID's, none, keys, hashes and addresses.
pub(super) const BYTE_LENGTHS: &[usize] = &[16, 0, 1, 4, 8, 12, 20, 24, 28, 32, 48, 64];

/// Lengths of a sequence or a map that is looked into: not zero, or the trace would learn nothing.
pub(super) const INSIDE_LENGTHS: &[usize] = &[1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 64];

/// Lengths of a sequence or a map that is left out, where the type permits it.
pub(super) const OUTSIDE_LENGTHS: &[usize] = &[0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 64];

/// How many integer samples fit into `T`.
pub(super) fn integers<T: TryFrom<i128>>() -> usize {
    INTEGERS.iter().filter(|n| T::try_from(**n).is_ok()).count()
}

/// The integer sample of this number among those that fit.
pub(super) fn integer<T: TryFrom<i128> + Default>(index: usize) -> T {
    let mut fitting = INTEGERS.iter().filter_map(|n| T::try_from(*n).ok());
    fitting.nth(index).unwrap_or_default()
}
