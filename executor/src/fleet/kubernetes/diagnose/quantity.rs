//! Amounts as the API writes them: `500m`, `2`, `64Mi`, `1e3`.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

use podpool_core::size::size;

/// Units in thousandths, those of two letters first.
const UNITS: [(&str, u128); 14] = [
    ("Ki", 1_000 << 10),
    ("Mi", 1_000 << 20),
    ("Gi", 1_000 << 30),
    ("Ti", 1_000 << 40),
    ("Pi", 1_000 << 50),
    ("Ei", 1_000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("", 1_000),
];

/// An amount in thousandths, rounded up; none if it is negative or no amount.
pub(super) fn thousandths(text: &str) -> Option<u128> {
    let text = text.trim();
    // Millionths and billionths: the API writes them for measured use alone, and rounds up to thousandths elsewhere.
    for (unit, part) in [("n", 1_000_000), ("u", 1_000)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(scaled(number, 1)?.div_ceil(part));
        }
    }
    if let Some((number, exponent)) = text.split_once(['e', 'E'])
        && !exponent.is_empty()
        && exponent != "i"
    {
        let unit = 1_000_u128.checked_mul(10_u128.checked_pow(exponent.parse().ok()?)?)?;
        return scaled(number, unit);
    }
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))?;
    scaled(number, unit)
}

/// A decimal number times a unit, rounded up.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
        return None;
    }
    let of = |digits: &str| {
        if digits.is_empty() {
            Some(0)
        } else {
            digits.parse::<u128>().ok()
        }
    };
    let scale = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let fraction = of(part)?.checked_mul(unit)?.div_ceil(scale);
    of(whole)?.checked_mul(unit)?.checked_add(fraction)
}

/// An amount of a resource for people: `1.5 cores`, `64 MiB of memory`, `2 nvidia.com/gpu`.
pub(super) fn shown(resource: &str, thousandths: u128) -> String {
    let whole = thousandths.div_ceil(1_000);
    let bytes = u64::try_from(whole).unwrap_or(u64::MAX);
    match resource {
        "cpu" if thousandths == 1_000 => "1 core".to_owned(),
        "cpu" if thousandths.is_multiple_of(1_000) => format!("{whole} cores"),
        "cpu" => format!("{thousandths}m of a core"),
        "memory" => format!("{} of memory", size(bytes)),
        "ephemeral-storage" => format!("{} of scratch space", size(bytes)),
        other => format!("{whole} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_every_notation() {
        for (text, expected) in [
            ("0", Some(0)),
            ("2", Some(2_000)),
            ("500m", Some(500)),
            ("1.5", Some(1_500)),
            (".5", Some(500)),
            ("0.0001", Some(1)),
            ("64Mi", Some(64_000 << 20)),
            ("1Pi", Some(1_000 << 50)),
            ("1073741824Mi", Some(1_000 << 50)),
            ("3k", Some(3_000_000)),
            ("2E", Some(2_000_000_000_000_000_000_000)),
            ("1Ei", Some(1_000 << 60)),
            ("1e3", Some(1_000_000)),
            ("12E2", Some(1_200_000)),
            ("1500u", Some(2)),
            ("7n", Some(1)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1e", None),
            ("1e99", None),
            ("ten", None),
            ("1 Gi", None),
            ("99999999999999999999999999999999999999E", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text:?}");
        }
    }

    #[test]
    fn amounts_are_shown_in_the_unit_of_their_resource() {
        for (resource, amount, expected) in [
            ("cpu", "1", "1 core"),
            ("cpu", "64", "64 cores"),
            ("cpu", "1500m", "1500m of a core"),
            ("memory", "64Mi", "64 MiB of memory"),
            ("ephemeral-storage", "10Gi", "10 GiB of scratch space"),
            ("nvidia.com/gpu", "2", "2 nvidia.com/gpu"),
        ] {
            assert_eq!(shown(resource, thousandths(amount).unwrap()), expected);
        }
    }
}
