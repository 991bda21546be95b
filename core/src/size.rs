//! A number of bytes, as messages show it.

/// `5 GiB`, `1.5 GiB`, `300.1 MiB`, `17 bytes`: one digit behind the point, rounded up, so that what passed a limit is
/// never shown as the limit.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        1_073_741_824.. => format!("{} GiB", tenths(bytes, 1 << 30)),
        1_048_576.. => format!("{} MiB", tenths(bytes, 1 << 20)),
        1 => "1 byte".to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

fn tenths(bytes: u64, unit: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
    match tenths % 10 {
        0 => format!("{}", tenths / 10),
        tenth => format!("{}.{tenth}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_their_unit_and_never_too_small() {
        const GIB: u64 = 1 << 30;
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (17, "17 bytes"),
            (300 << 20, "300 MiB"),
            ((300 << 20) + 1, "300.1 MiB"),
            (5 * GIB, "5 GiB"),
            (GIB + GIB / 2, "1.5 GiB"),
            (GIB - 1, "1024 MiB"),
            (u64::MAX, "17179869184 GiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
