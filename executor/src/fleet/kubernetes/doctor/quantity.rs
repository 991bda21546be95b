//! Quantities of Kubernetes as numbers that can be compared: `500m`, `4Gi`, `1e3`.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Thousand-millionths of the unit: the smallest that a quantity has.
const NANO: i128 = 1_000_000_000;

/// A quantity in thousand-millionths; none for a text that is no quantity, or past the range.
pub(super) fn nano(text: &str) -> Option<i128> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let scale = scale(suffix)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let whole = whole.trim_start_matches(['-', '+']);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) || part.len() > 18 {
        return None;
    }
    let mut value: i128 = format!("0{whole}{part}").parse().ok()?;
    value = value.checked_mul(scale)?;
    value /= 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
    Some(if negative { -value } else { value })
}

/// What a suffix multiplies with, in thousand-millionths.
fn scale(suffix: &str) -> Option<i128> {
    const DECIMAL: [(&str, i128); 10] = [
        ("n", 1),
        ("u", 1_000),
        ("m", 1_000_000),
        ("", NANO),
        ("k", 1_000 * NANO),
        ("M", 1_000_000 * NANO),
        ("G", 1_000_000_000 * NANO),
        ("T", 1_000_000_000_000 * NANO),
        ("P", 1_000_000_000_000_000 * NANO),
        ("E", 1_000_000_000_000_000_000 * NANO),
    ];
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some((_, scale)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some(*scale);
    }
    if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
        return Some(NANO << (10 * (power + 1)));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent < 0 {
        Some(NANO / power)
    } else {
        NANO.checked_mul(power)
    }
}

/// Amounts of resources, by name.
pub(super) type Amounts = BTreeMap<String, i128>;

/// The amounts of a map; what is no quantity is left out.
pub(super) fn amounts(map: &BTreeMap<String, Quantity>) -> Amounts {
    map.iter()
        .filter_map(|(name, quantity)| Some((name.clone(), nano(&quantity.0)?)))
        .collect()
}

/// What a pod requests and is limited to: the sum of its containers, or what one that runs before them needs alone.
pub(super) fn of_pod(pod: &PodSpec) -> (Amounts, Amounts) {
    let part = |of: fn(&Container) -> Option<&BTreeMap<String, Quantity>>| {
        let mut sum = Amounts::new();
        for (name, amount) in pod.containers.iter().filter_map(of).flat_map(amounts) {
            *sum.entry(name).or_default() += amount;
        }
        let init = pod.init_containers.iter().flatten();
        for (name, amount) in init.filter_map(of).flat_map(amounts) {
            let entry = sum.entry(name).or_default();
            *entry = amount.max(*entry);
        }
        sum
    };
    let requests = part(|it| it.resources.as_ref()?.requests.as_ref());
    let limits = part(|it| it.resources.as_ref()?.limits.as_ref());
    (requests, limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_and_comparable() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(NANO)),
            ("500m", Some(NANO / 2)),
            ("1.5", Some(3 * NANO / 2)),
            (".5", Some(NANO / 2)),
            ("-1", Some(-NANO)),
            ("4Gi", Some((4 << 30) * NANO)),
            ("2G", Some(2_000_000_000 * NANO)),
            ("1e3", Some(1_000 * NANO)),
            ("1E", Some(1_000_000_000_000_000_000 * NANO)),
            ("12E2", Some(1_200 * NANO)),
            ("1n", Some(1)),
            ("", None),
            ("Gi", None),
            ("1gb", None),
            ("1.2.3", None),
            ("99999999999999999999999999E", None),
        ] {
            assert_eq!(nano(text), expected, "{text}");
        }
    }
}
