//! Amounts as people write them: `500m` cores, `4Gi`, `90s`.

use std::time::Duration;

/// More cores than any node has: the user meant thousandths.
pub(super) const MOST_MILLICORES: u64 = 1_000_000;

/// Reads cores as thousandths: `2`, `1.5`, `500m`. A thousand cores and more are refused.
///
/// # Errors
/// What may be written instead.
pub fn parse_cores(text: &str) -> Result<u64, String> {
    let wrong = || "use cores, such as 2, 1.5 or 500m".to_owned();
    let millicores = match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => decimal(text, 1_000),
    };
    let millicores = millicores.ok_or_else(wrong)?;
    if millicores >= MOST_MILLICORES {
        return Err(format!(
            "it is {} cores, and no node has as many; the unit is cores: write 1000m, or 1, for one core",
            millicores / 1_000
        ));
    }
    Ok(millicores)
}

/// Reads bytes: a number, or one with `k`, `M`, `G`, `T` (thousands) or `Ki`, `Mi`, `Gi`, `Ti`.
///
/// # Errors
/// What may be written instead.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    decimal(number, unit).ok_or_else(|| "use bytes, such as 512Mi, 4Gi or 8000000000".to_owned())
}

/// Reads a duration with a unit: `90s`, `10m`, `2h`, `7d`, `500ms`.
///
/// # Errors
/// What may be written instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    UNITS
        .iter()
        .find_map(|(suffix, unit)| decimal(text.strip_suffix(suffix)?, *unit))
        .map(Duration::from_millis)
        .ok_or_else(|| "use a number with a unit, such as 90s, 10m, 2h or 7d".to_owned())
}

/// Bytes as they are read: whole mebibytes with their unit, others without.
pub(super) fn show_bytes(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{}Mi", bytes >> 20)
    } else {
        bytes.to_string()
    }
}

/// A duration as it is read.
pub(super) fn show_duration(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (u64::MAX, _) => "without end".to_owned(),
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// A decimal number times a unit, without floating point, so that 0.1 is exact. Three decimals at most.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let scale = 10_u64.pow(u32::try_from(part.len()).ok()?);
    let part: u64 = part.parse().ok()?;
    // In 128 bits, so that no product can overflow. The division rounds down, so that an amount never exceeds its text.
    let fraction = u128::from(part) * u128::from(unit) / u128::from(scale);
    whole
        .checked_mul(unit)?
        .checked_add(u64::try_from(fraction).ok()?)
}
