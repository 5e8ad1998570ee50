//! Amounts of tokens, as the chain's messages carry them.

use thiserror::Error;

use crate::message::Coin;
use crate::relay::quote;

/// The network's token in its smallest unit, in which all amounts of this crate are.
pub const DENOMINATION: &str = "upokt";

/// Why a field holds no amount.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CoinError {
    /// There is no coin.
    #[error("{0}: is missing")]
    Missing(&'static str),
    /// Other tokens.
    #[error("{field}: must be in {DENOMINATION}, not {found:?}")]
    Denomination {
        /// The field.
        field: &'static str,
        /// The beginning of the denomination.
        found: String,
    },
    /// Not a number, or too large a one.
    #[error("{field}: must be digits that make a number below 2^128, not {found:?}")]
    Amount {
        /// The field.
        field: &'static str,
        /// The beginning of the amount.
        found: String,
    },
}

/// The amount of a coin in upokt. `field` is what an error names.
///
/// # Errors
/// When the coin is missing, of another denomination, or its amount is not digits alone.
pub fn upokt(field: &'static str, coin: Option<&Coin>) -> Result<u128, CoinError> {
    let coin = coin.ok_or(CoinError::Missing(field))?;
    if coin.denom != DENOMINATION {
        return Err(CoinError::Denomination {
            field,
            found: quote(&coin.denom),
        });
    }
    let digits = coin.amount.bytes().all(|byte| byte.is_ascii_digit());
    let amount = coin.amount.parse().ok().filter(|_| digits);
    amount.ok_or_else(|| CoinError::Amount {
        field,
        found: quote(&coin.amount),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_of_the_networks_token_are_an_amount() {
        let read = |denom: &str, amount: &str| {
            let coin = Coin {
                denom: denom.to_owned(),
                amount: amount.to_owned(),
            };
            upokt("stake", Some(&coin))
        };
        assert_eq!(read("upokt", "20000000"), Ok(20_000_000));
        assert_eq!(read("upokt", &u128::MAX.to_string()), Ok(u128::MAX));
        for amount in [
            "",
            "-1",
            "+1",
            "1.0",
            " 1",
            "340282366920938463463374607431768211456",
        ] {
            let found = amount.to_owned();
            let error = CoinError::Amount {
                field: "stake",
                found,
            };
            assert_eq!(read("upokt", amount), Err(error));
        }
        let long = read("upokt", &"9".repeat(1_000)).unwrap_err().to_string();
        assert!(long.starts_with("stake: ") && long.len() < 200, "{long}");
        let found = "POKT".to_owned();
        let error = CoinError::Denomination {
            field: "stake",
            found,
        };
        assert_eq!(read("POKT", "1"), Err(error));
        assert_eq!(upokt("stake", None), Err(CoinError::Missing("stake")));
    }
}
