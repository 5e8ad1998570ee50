//! Holding a request against the relayer's policy and its network.

use std::time::Duration;

use baton_model::{Address, Pricing, Speed, Timestamp, TxSpec};

use super::request::TxRequest;
use crate::Relayer;

const NO_PRICING: &str = "Transaction must specify either gasPrice, speed, or EIP1559 parameters";
const PRICE_TOO_HIGH: &str = "Gas price is too high";
const NOT_WHITELISTED: &str = "Transaction target address is not whitelisted";

/// Gas of a call and of a creation before anything is executed.
const CALL_GAS: u64 = 21_000;
const CREATE_GAS: u64 = 53_000;
/// Gas per byte of data (EIP-2028), and per word of init code (EIP-3860).
const ZERO_BYTE_GAS: u64 = 4;
const OTHER_BYTE_GAS: u64 = 16;
const INIT_WORD_GAS: u64 = 2;

/// What a new transaction of a relayer is to be.
///
/// # Errors
/// The first rule that it breaks, in words fit for the caller.
pub(super) fn accepted_spec(
    request: &TxRequest,
    relayer: &Relayer,
    now: Timestamp,
    validity: Duration,
) -> Result<TxSpec, String> {
    let pricing = request.pricing.ok_or(NO_PRICING)?;
    let cap = relayer.policy.gas_price_cap;
    if let (Pricing::Legacy { gas_price }, Some(cap)) = (pricing, cap)
        && gas_price > cap
    {
        return Err(PRICE_TOO_HIGH.to_owned());
    }
    let valid_until = request
        .valid_until
        .unwrap_or_else(|| now.saturating_add(validity));
    spec(request, relayer, pricing, valid_until, now)
}

/// What a transaction of a relayer is to be instead of `old`. Without a price it keeps the old
/// one's speed, or gets `fast`; without a time it keeps the old one's.
///
/// # Errors
/// The first rule that it breaks, in words fit for the caller.
pub(super) fn replacing_spec(
    request: &TxRequest,
    relayer: &Relayer,
    old: &TxSpec,
    now: Timestamp,
) -> Result<TxSpec, String> {
    let pricing = request.pricing.unwrap_or(match old.pricing {
        Pricing::Speed(speed) => Pricing::Speed(speed),
        Pricing::Legacy { .. } | Pricing::Eip1559 { .. } => Pricing::Speed(Speed::Fast),
    });
    let cap = relayer.policy.gas_price_cap;
    if let (Pricing::Legacy { gas_price }, Some(cap)) = (pricing, cap)
        && gas_price > cap
    {
        return Err(format!("Gas price {gas_price} exceeds gas price cap {cap}"));
    }
    let valid_until = request.valid_until.unwrap_or(old.valid_until);
    spec(request, relayer, pricing, valid_until, now)
}

/// Gas that a transaction uses before anything is executed: 21000 for a call, 53000 and 2 per 32
/// bytes of init code for a creation, 4 per zero byte of data and 16 per other byte.
pub fn intrinsic_gas(to: Option<Address>, data: &[u8]) -> u64 {
    let bytes: u64 = data
        .iter()
        .map(|byte| {
            if *byte == 0 {
                ZERO_BYTE_GAS
            } else {
                OTHER_BYTE_GAS
            }
        })
        .sum();
    match to {
        Some(_) => CALL_GAS + bytes,
        None => CREATE_GAS + bytes + INIT_WORD_GAS * data.len().div_ceil(32) as u64,
    }
}

fn spec(
    request: &TxRequest,
    relayer: &Relayer,
    pricing: Pricing,
    valid_until: Timestamp,
    now: Timestamp,
) -> Result<TxSpec, String> {
    check_pricing(pricing, relayer)?;
    check_gas(request, relayer)?;
    check_target(request.to, relayer)?;
    if valid_until <= now {
        return Err(format!(
            "valid_until must be in the future, after {}; found {}",
            rfc3339(now),
            rfc3339(valid_until)
        ));
    }
    Ok(TxSpec {
        call: baton_model::Call {
            to: request.to,
            value: request.value,
            data: request.data.clone(),
        },
        gas_limit: request.gas_limit,
        pricing,
        valid_until,
    })
}

fn check_pricing(pricing: Pricing, relayer: &Relayer) -> Result<(), String> {
    let Pricing::Eip1559 { max_fee, .. } = pricing else {
        return Ok(());
    };
    let profile = &relayer.network.profile;
    if !profile.eip1559 {
        return Err(format!(
            "max_fee_per_gas needs a network with EIP-1559, which {} is not: give gas_price or \
            speed; found {max_fee}",
            profile.name
        ));
    }
    match relayer.policy.gas_price_cap {
        Some(cap) if max_fee > cap => Err(format!(
            "Max fee per gas {max_fee} exceeds gas price cap {cap}"
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_gas(request: &TxRequest, relayer: &Relayer) -> Result<(), String> {
    let Some(gas_limit) = request.gas_limit else {
        if relayer.policy.gas_limit_estimation {
            return Ok(());
        }
        return Err(
            "gas_limit is required, because the relayer's policy gas_limit_estimation is false; \
             found nothing"
                .to_owned(),
        );
    };
    let least = intrinsic_gas(request.to, &request.data);
    if gas_limit < least {
        return Err(format!(
            "gas_limit must be at least {least}, which this transaction uses before anything is \
            executed; \
             found {gas_limit}"
        ));
    }
    Ok(())
}

/// The relayer's own accounts and the zero address are always allowed; creations never are while
/// there is a whitelist.
fn check_target(to: Option<Address>, relayer: &Relayer) -> Result<(), String> {
    let Some(allowed) = &relayer.policy.whitelist_receivers else {
        return Ok(());
    };
    let is_allowed = to.is_some_and(|to| {
        to == Address::ZERO || relayer.accounts.contains(&to) || allowed.contains(&to)
    });
    if is_allowed {
        return Ok(());
    }
    Err(NOT_WHITELISTED.to_owned())
}

/// A time as the API writes it; times beyond the year 9999 are shown as its end.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intrinsic_gas_is_that_of_the_protocol() {
        let target = Some(Address::ZERO);
        assert_eq!(intrinsic_gas(target, &[]), 21_000);
        assert_eq!(intrinsic_gas(target, &[0, 0, 1]), 21_000 + 4 + 4 + 16);
        assert_eq!(intrinsic_gas(None, &[]), 53_000);
        assert_eq!(intrinsic_gas(None, &[1; 32]), 53_000 + 32 * 16 + 2);
        assert_eq!(intrinsic_gas(None, &[1; 33]), 53_000 + 33 * 16 + 4);
    }

    #[test]
    fn times_are_written_in_rfc_3339() {
        assert_eq!(
            rfc3339(Timestamp::from_millis(0)),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(
            rfc3339(Timestamp::from_millis(1_700_000_000_120)),
            "2023-11-14T22:13:20.120Z"
        );
        assert!(rfc3339(Timestamp::MAX).starts_with("9999-12-30T"));
    }
}
