//! Durations and sizes as people write them.

const DURATIONS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Milliseconds of a duration such as `10m` or `1h30m`.
///
/// # Errors
/// A sentence with the format of a duration.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let parts = sum(text, DURATIONS).filter(|millis| *millis > 0);
    parts.ok_or_else(|| {
        format!("invalid duration {text:?}: write whole numbers with ms, s, m, h or d, such as \"90s\" or \"1h30m\", more than zero")
    })
}

/// Milliseconds of two durations, such as `1s..60s`, or of one that is both.
///
/// # Errors
/// A sentence with the format of a range, or about a range that runs backwards.
pub(crate) fn durations(text: &str) -> Result<(u64, u64), String> {
    let (initial, longest) = text.split_once("..").unwrap_or((text, text));
    let read = |part: &str| {
        duration(part.trim()).map_err(|_| {
            format!("invalid delays {text:?}: write the first and the longest, such as \"1s..60s\", or one for both, such as \"5s\"")
        })
    };
    let (initial, longest) = (read(initial)?, read(longest)?);
    if initial > longest {
        return Err(format!(
            "invalid delays {text:?}: the first is longer than the longest"
        ));
    }
    Ok((initial, longest))
}

/// Bytes of a size such as `512MiB`.
///
/// # Errors
/// A sentence with the format of a size.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let parts = sum(text, SIZES).filter(|bytes| *bytes > 0);
    parts.ok_or_else(|| {
        format!("invalid size {text:?}: write a whole number with B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, such as \"512MiB\", more than zero")
    })
}

/// Adds up numbers with units. `None` for anything else, and for a sum beyond `u64`.
fn sum(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start_matches(' ');
        let end = tail.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*factor)?;
        total = total.checked_add(part)?;
        rest = tail.trim_start_matches(' ');
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("250ms"), Ok(250));
        assert_eq!(duration("10m"), Ok(600_000));
        assert_eq!(duration("1h30m"), Ok(5_400_000));
        assert_eq!(duration("2 d 1 s"), Ok(172_801_000));
        for bad in [
            "",
            "0s",
            "10",
            "m",
            "1.5s",
            "-1s",
            "1y",
            "1s,",
            "١s",
            "99999999999999999d",
        ] {
            let message = duration(bad).unwrap_err();
            assert!(message.contains(&format!("{bad:?}")), "{message}");
        }
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(durations("1s..60s"), Ok((1_000, 60_000)));
        assert_eq!(durations("1s .. 1s"), Ok((1_000, 1_000)));
        assert_eq!(durations("100ms"), Ok((100, 100)));
        for bad in ["", "2s..1s", "..1s", "1s..", "1s..=2s", "1s...2s"] {
            assert!(durations(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("2 GB"), Ok(2_000_000_000));
        assert_eq!(size("1Gi"), Ok(1 << 30));
        for bad in ["", "0B", "512", "512mib", "1.5GiB", "99999999TiB"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
