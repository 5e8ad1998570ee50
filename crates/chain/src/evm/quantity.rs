//! Numbers as nodes write them: `0x` and hexadecimal digits.

use std::borrow::Cow;

use baton_model::U256;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A number of a type that it was checked to fit. Leading zeros are tolerated: some nodes send
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity<T>(pub(crate) T);

impl<'de, T: TryFrom<U256>> Deserialize<'de> for Quantity<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        let digits = text.strip_prefix("0x").filter(|digits| {
            (1..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
        });
        let number = digits
            .and_then(|digits| U256::from_str_radix(digits, 16).ok())
            .ok_or_else(|| D::Error::custom("expected 0x and 1 to 64 hexadecimal digits"))?;
        T::try_from(number)
            .map(Self)
            .map_err(|_| D::Error::custom("the number is too large for its field"))
    }
}

/// A number as a parameter.
pub(crate) fn hex(number: u64) -> String {
    format!("{number:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_checked() {
        let read = serde_json::from_str::<Quantity<u64>>;
        assert_eq!(read("\"0x0\"").unwrap(), Quantity(0));
        assert_eq!(read("\"0x000A\"").unwrap(), Quantity(10));
        assert_eq!(read("\"0xffffffffffffffff\"").unwrap(), Quantity(u64::MAX));
        for bad in [
            "\"0x\"",
            "\"\"",
            "\"10\"",
            "\"0X1\"",
            "\"0x+1\"",
            "\"0x_1\"",
            "\"0xg\"",
            "\"-0x1\"",
            "\"0x10000000000000000\"",
            "1",
            "null",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let wide = format!("\"0x{}\"", "f".repeat(64));
        assert_eq!(
            serde_json::from_str::<Quantity<U256>>(&wide).unwrap().0,
            U256::MAX
        );
        assert!(serde_json::from_str::<Quantity<u128>>(&wide).is_err());
        let wider = format!("\"0x{}\"", "0".repeat(65));
        assert!(serde_json::from_str::<Quantity<U256>>(&wider).is_err());
    }
}
