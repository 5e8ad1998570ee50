//! Amounts and times as people write them.

use std::time::Duration;

use baton_model::U256;

/// Longest time that can be waited for: it only has to be further away than anybody's patience.
const TIME_MAX: u64 = 365 * 24 * 3600;
/// Units and how many digits of wei they have after the point. The first that fits counts.
const UNITS: [(&str, usize); 4] = [("gwei", 9), ("wei", 0), ("ether", 18), ("eth", 18)];

/// Reads an amount in wei: a whole number, or a decimal number with a unit.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn wei(text: &str) -> Result<U256, String> {
    let refuse = || {
        "must be a whole number of wei, or a decimal number with a unit: 1, 2.5gwei, 0.1ether"
            .to_owned()
    };
    let unit = UNITS
        .iter()
        .find_map(|(unit, digits)| Some((text.strip_suffix(unit)?, *digits)));
    let (number, digits) = unit.unwrap_or((text, 0));
    let number = number.trim_end();
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || number.ends_with('.') {
        return Err(refuse());
    }
    if part.len() > digits {
        return Err(format!(
            "must not have more than {digits} digits after the point in this unit"
        ));
    }
    let all = format!("{whole}{part:0<digits$}");
    U256::from_str_radix(&all, 10).map_err(|_| "must be less than 2^256 wei".to_owned())
}

/// An amount with the unit that makes it shortest to read.
pub(crate) fn shown(wei: U256) -> String {
    let gwei = U256::from(1_000_000_000_u64);
    if wei.is_zero() {
        return "0".to_owned();
    }
    // Less than a thousandth of a coin is said in the smaller units.
    let (unit, digits) = if wei >= gwei * U256::from(1_000_000) {
        ("ether", 18)
    } else if wei >= gwei / U256::from(1000) {
        ("gwei", 9)
    } else {
        return format!("{wei} wei");
    };
    let text = format!("{wei:0>width$}", wei = wei.to_string(), width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    match part.trim_end_matches('0') {
        "" => format!("{whole} {unit}"),
        part => format!("{whole}.{part} {unit}"),
    }
}

/// Reads a time such as 90s, 5m or 2h.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number
            .checked_mul(*seconds)
            .filter(|seconds| (1..=TIME_MAX).contains(seconds))
    });
    found
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a time from 1s to a year with its unit: 90s, 5m, 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_in_every_unit() {
        for (text, expected, back) in [
            ("0", "0", "0"),
            ("1", "1", "1 wei"),
            ("12wei", "12", "12 wei"),
            ("2.5gwei", "2500000000", "2.5 gwei"),
            ("2.5 gwei", "2500000000", "2.5 gwei"),
            ("0.000000001gwei", "1", "1 wei"),
            ("0.1ether", "100000000000000000", "0.1 ether"),
            ("1eth", "1000000000000000000", "1 ether"),
            (
                "1000000.000000000000000001ether",
                "1000000000000000000000001",
                "1000000.000000000000000001 ether",
            ),
        ] {
            let found = wei(text).unwrap();
            assert_eq!(
                (found.to_string().as_str(), shown(found).as_str()),
                (expected, back),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        let too_large = format!("1{}ether", "0".repeat(60));
        for text in [
            "",
            "-1",
            "+1",
            "1.5",
            "1e18",
            "0x1",
            ".5ether",
            "1.ether",
            "1 000",
            "1_0",
            "ether",
            "1.0000000001gwei",
            "1Ether",
            "1finney",
            &too_large,
        ] {
            assert!(wei(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in [
            "",
            "5",
            "0s",
            "-1s",
            "1d",
            "s",
            "9999999h",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
