//! Numbers in requests: JSON numbers or texts, exact at any size.

use baton_model::U256;
use serde_json::value::RawValue;

/// Most characters of a caller's value that an error repeats.
const SHOWN_CHARS_MAX: usize = 66;

/// Reads a whole number that fits 256 bits: a JSON number, or a text of decimal digits or of hex
/// digits after `0x`.
pub(super) fn read_u256(field: &str, raw: &RawValue) -> Result<U256, String> {
    let text = raw.get();
    if text.starts_with('"') {
        let text: String = serde_json::from_str(text).map_err(|_| refuse(field, raw))?;
        return match text.strip_prefix("0x") {
            Some(digits) => digits_of(digits, 16, field, raw),
            None => digits_of(&text, 10, field, raw),
        };
    }
    digits_of(text, 10, field, raw)
}

/// Reads a whole number that fits 128 bits.
pub(super) fn read_u128(field: &str, raw: &RawValue) -> Result<u128, String> {
    read_u256(field, raw)?
        .try_into()
        .map_err(|_| too_large(field, "2^128-1", raw))
}

/// Reads a whole number that fits 64 bits.
pub(super) fn read_u64(field: &str, raw: &RawValue) -> Result<u64, String> {
    read_u256(field, raw)?
        .try_into()
        .map_err(|_| too_large(field, "2^64-1", raw))
}

/// A caller's value for an error, cut.
pub(super) fn shown(raw: &RawValue) -> String {
    let text = raw.get();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn digits_of(digits: &str, radix: u32, field: &str, raw: &RawValue) -> Result<U256, String> {
    // The parser below would let signs and separators pass.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(refuse(field, raw));
    }
    U256::from_str_radix(digits, u64::from(radix)).map_err(|_| too_large(field, "2^256-1", raw))
}

fn refuse(field: &str, raw: &RawValue) -> String {
    format!(
        "{field} must be a whole number, as a JSON number or a decimal or 0x-hex string; found {}",
        shown(raw)
    )
}

fn too_large(field: &str, max: &str, raw: &RawValue) -> String {
    format!("{field} must be at most {max}; found {}", shown(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<U256, String> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        read_u256("value", raw)
    }

    #[test]
    fn numbers_of_any_size_are_exact() {
        for (json, expected) in [
            ("0", U256::ZERO),
            ("18446744073709551616", U256::from(1_u128 << 64)),
            ("\"18446744073709551617\"", U256::from((1_u128 << 64) + 1)),
            (
                "\"0xde0b6b3a7640000\"",
                U256::from(1_000_000_000_000_000_000_u64),
            ),
            (
                "\"0xDE0B6B3A7640000\"",
                U256::from(1_000_000_000_000_000_000_u64),
            ),
            (
                "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                U256::MAX,
            ),
        ] {
            assert_eq!(parse(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for json in [
            "1.0", "1e18", "-1", "true", "[]", "{}", "\"\"", "\"0x\"", "\"-1\"", "\"+1\"",
            "\"1_0\"", "\" 1\"", "\"0xg\"", "\"1.5\"", "\"ten\"", "\"٣\"",
        ] {
            let expected = format!(
                "value must be a whole number, as a JSON number or a decimal or 0x-hex string; \
                found {json}"
            );
            assert_eq!(parse(json), Err(expected));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let over = "\"0x10000000000000000000000000000000000000000000000000000000000000000\"";
        assert!(
            parse(over)
                .unwrap_err()
                .starts_with("value must be at most 2^256-1; found ")
        );
        let raw: &RawValue = serde_json::from_str("18446744073709551616").unwrap();
        assert_eq!(
            read_u64("gas_limit", raw),
            Err("gas_limit must be at most 2^64-1; found 18446744073709551616".to_owned())
        );
        let raw: &RawValue =
            serde_json::from_str("\"0x100000000000000000000000000000000\"").unwrap();
        assert!(
            read_u128("gas_price", raw)
                .unwrap_err()
                .starts_with("gas_price must be at most 2^128-1")
        );
    }
}
