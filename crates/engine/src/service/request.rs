//! The body of a transaction request: what the caller wrote, before it is held against the
//! relayer's policy.

use alloy_primitives::hex;
use baton_model::{Address, Bytes, Pricing, Speed, Timestamp, U256};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::number::{read_u64, read_u128, read_u256, shown};

/// Most bytes of `data`. Nodes take signed transactions of up to 128 KiB; what is not data fits 512
/// bytes.
pub const DATA_BYTES_MAX: usize = 128 * 1024 - 512;

const NOTHING_TO_DO: &str =
    "Both txs `to` and `data` fields are missing. At least one of them has to be set.";
const NOT_EVM: &str = "This is the body of a Solana or Stellar transaction, and Baton serves EVM \
     networks only: give to, value and data";
const MIXED_PRICING: &str = "Cannot mix different transaction types: give one of gas_price, speed, \
     or max_fee_per_gas with max_priority_fee_per_gas";

const SPEEDS: [Speed; 4] = [Speed::Fastest, Speed::Fast, Speed::Average, Speed::SafeLow];

/// A transaction request as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxRequest {
    /// Target; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei.
    pub value: U256,
    /// Input, or init code; empty when absent.
    pub data: Bytes,
    /// Gas limit, if given.
    pub gas_limit: Option<u64>,
    /// The one pricing mode, if any was given.
    pub pricing: Option<Pricing>,
    /// When it lapses, if given.
    pub valid_until: Option<Timestamp>,
}

/// The fields as JSON text. Unknown ones are left alone, as the reference does; null is the same as
/// absent.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    to: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    gas_limit: Option<&'a RawValue>,
    #[serde(borrow)]
    gas_price: Option<&'a RawValue>,
    #[serde(borrow)]
    speed: Option<&'a RawValue>,
    #[serde(borrow)]
    max_fee_per_gas: Option<&'a RawValue>,
    #[serde(borrow)]
    max_priority_fee_per_gas: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_until: Option<&'a RawValue>,
    // Of other networks' requests; looked at only to say what is wrong.
    #[serde(borrow)]
    transaction: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    transaction_xdr: Option<&'a RawValue>,
    #[serde(borrow)]
    operations: Option<&'a RawValue>,
}

impl Fields<'_> {
    const fn is_of_another_network(&self) -> bool {
        let of_solana = self.transaction.is_some() || self.instructions.is_some();
        of_solana || self.transaction_xdr.is_some() || self.operations.is_some()
    }
}

impl TxRequest {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// The first field that breaks a rule, the rule and the value, in words fit for the caller.
    pub fn parse(body: &RawValue) -> Result<Self, String> {
        if !body.get().starts_with('{') {
            return Err(format!("body must be a JSON object; found {}", shown(body)));
        }
        let fields: Fields<'_> =
            serde_json::from_str(body.get()).map_err(|error| format!("body: {error}"))?;
        let to = match fields.to {
            Some(raw) => address("to", raw)?,
            None => None,
        };
        if to.is_none() && fields.data.is_none() {
            let reason = if fields.is_of_another_network() {
                NOT_EVM
            } else {
                NOTHING_TO_DO
            };
            return Err(reason.to_owned());
        }
        let Some(value) = fields.value else {
            return Err(
                "value is required: wei as a JSON number or a decimal or 0x-hex string; \
                        found nothing"
                    .to_owned(),
            );
        };
        Ok(Self {
            to,
            value: read_u256("value", value)?,
            data: fields.data.map_or(Ok(Bytes::new()), data)?,
            gas_limit: fields
                .gas_limit
                .map(|raw| read_u64("gas_limit", raw))
                .transpose()?,
            pricing: pricing(&fields)?,
            valid_until: fields.valid_until.map(time).transpose()?,
        })
    }

    /// SHA-256 over what the request means, in hex: the same for bodies that differ in white space,
    /// in the order of fields, in unknown fields or in how numbers are written. It is stored with
    /// idempotency keys, so its input must not change from release to release.
    pub fn digest(&self) -> String {
        let to = self.to.map(|to| format!("{to:#x}"));
        let pricing = match self.pricing {
            None => String::new(),
            Some(Pricing::Speed(speed)) => format!("speed {}", speed_name(speed)),
            Some(Pricing::Legacy { gas_price }) => format!("legacy {gas_price}"),
            Some(Pricing::Eip1559 {
                max_fee,
                max_priority_fee,
            }) => format!("eip1559 {max_fee} {max_priority_fee}"),
        };
        let lines = [
            "baton transaction 1".to_owned(),
            to.unwrap_or_default(),
            self.value.to_string(),
            hex::encode(&self.data),
            self.gas_limit
                .map(|gas| gas.to_string())
                .unwrap_or_default(),
            pricing,
            self.valid_until
                .map(|at| at.as_millis().to_string())
                .unwrap_or_default(),
        ];
        hex::encode(Sha256::digest(lines.join("\n").as_bytes()))
    }
}

/// A speed as the API writes it.
pub(super) const fn speed_name(speed: Speed) -> &'static str {
    match speed {
        Speed::SafeLow => "safeLow",
        Speed::Average => "average",
        Speed::Fast => "fast",
        Speed::Fastest => "fastest",
    }
}

/// An empty text stands for no target, as in the reference.
fn address(field: &str, raw: &RawValue) -> Result<Option<Address>, String> {
    let refuse = || {
        format!(
            "{field} must be an address of 20 bytes in hex, or empty to create a contract; found \
            {}",
            shown(raw)
        )
    };
    let text: String = serde_json::from_str(raw.get()).map_err(|_| refuse())?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| refuse())
}

fn data(raw: &RawValue) -> Result<Bytes, String> {
    let refuse = || {
        format!(
            "data must be a string of hex digits, two for each byte; found {}",
            shown(raw)
        )
    };
    let text: String = serde_json::from_str(raw.get()).map_err(|_| refuse())?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    if digits.len() / 2 > DATA_BYTES_MAX {
        return Err(format!(
            "data must have at most {DATA_BYTES_MAX} bytes, what a transaction of 128 KiB can \
            hold; \
             found {} bytes",
            digits.len() / 2
        ));
    }
    // The decoder strips a prefix of its own.
    if digits.starts_with("0x") {
        return Err(refuse());
    }
    hex::decode(digits).map(Bytes::from).map_err(|_| refuse())
}

fn pricing(fields: &Fields<'_>) -> Result<Option<Pricing>, String> {
    let dynamic = (fields.max_fee_per_gas, fields.max_priority_fee_per_gas);
    let is_dynamic = dynamic.0.is_some() || dynamic.1.is_some();
    let modes = [
        fields.gas_price.is_some(),
        fields.speed.is_some(),
        is_dynamic,
    ];
    if modes.into_iter().filter(|given| *given).count() > 1 {
        return Err(MIXED_PRICING.to_owned());
    }
    if let Some(raw) = fields.gas_price {
        let gas_price = read_u128("gas_price", raw)?;
        return Ok(Some(Pricing::Legacy { gas_price }));
    }
    if let Some(raw) = fields.speed {
        return speed(raw).map(|speed| Some(Pricing::Speed(speed)));
    }
    match dynamic {
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing("max_priority_fee_per_gas", "max_fee_per_gas")),
        (None, Some(_)) => Err(missing("max_fee_per_gas", "max_priority_fee_per_gas")),
        (Some(max_fee), Some(priority)) => {
            let max_fee = read_u128("max_fee_per_gas", max_fee)?;
            let max_priority_fee = read_u128("max_priority_fee_per_gas", priority)?;
            if max_fee < max_priority_fee {
                return Err(format!(
                    "max_fee_per_gas must be at least max_priority_fee_per_gas, \
                    {max_priority_fee}; \
                     found {max_fee}"
                ));
            }
            Ok(Some(Pricing::Eip1559 {
                max_fee,
                max_priority_fee,
            }))
        }
    }
}

fn missing(field: &str, other: &str) -> String {
    format!("{field} is required when {other} is given; found nothing")
}

fn speed(raw: &RawValue) -> Result<Speed, String> {
    // The speeds' own reader would also take an object of one field.
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let known = SPEEDS
        .into_iter()
        .find(|speed| text.as_deref() == Some(speed_name(*speed)));
    known.ok_or_else(|| {
        let (names, found) = (SPEEDS.map(speed_name).join(", "), shown(raw));
        format!("speed must be one of {names}; found {found}")
    })
}

fn time(raw: &RawValue) -> Result<Timestamp, String> {
    let refuse = || {
        format!(
            "valid_until must be a time in RFC 3339, such as 2030-01-01T00:00:00Z; found {}",
            shown(raw)
        )
    };
    let text: String = serde_json::from_str(raw.get()).map_err(|_| refuse())?;
    let time: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
    // Before 1970 is as far in the past as 1970 is.
    Ok(Timestamp::from_millis(
        u64::try_from(time.as_millisecond()).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> TxRequest {
        TxRequest::parse(serde_json::from_str(body).unwrap()).unwrap()
    }

    #[test]
    fn the_digest_is_of_the_meaning_not_of_the_text() {
        let one = parse(
            r#"{"to":"0x00000000000000000000000000000000000000aA","value":"16",
                "data":"0xAB","speed":"fast"}"#,
        );
        let other = parse(
            "{\n \"speed\": \"fast\", \"note\": [1], \"data\": \"ab\", \"gas_limit\": null,\n \
            \"value\": \
             \"0x10\", \"to\": \"0x00000000000000000000000000000000000000aa\"}",
        );
        assert_eq!(one, other);
        // Stored by releases: this must never change.
        assert_eq!(
            one.digest(),
            "c4de1ceb797a82c406d0b06461fd607c296e61e2d4a2fa7b9a22060687076021"
        );
        assert_eq!(one.digest(), other.digest());
    }

    #[test]
    fn every_field_counts_in_the_digest() {
        let base = r#""to":"0x00000000000000000000000000000000000000aa","data":"0x01","value":1"#;
        let bodies = [
            format!("{{{base}}}"),
            format!(r#"{{{base},"gas_limit":21000}}"#),
            format!(r#"{{{base},"gas_price":21000}}"#),
            format!(r#"{{{base},"speed":"fast"}}"#),
            format!(r#"{{{base},"speed":"fastest"}}"#),
            format!(r#"{{{base},"max_fee_per_gas":2,"max_priority_fee_per_gas":1}}"#),
            format!(r#"{{{base},"max_fee_per_gas":2,"max_priority_fee_per_gas":2}}"#),
            format!(r#"{{{base},"valid_until":"2030-01-01T00:00:00Z"}}"#),
            r#"{"to":"","data":"0x01","value":1}"#.to_owned(),
            r#"{"to":"","data":"0x01","value":2}"#.to_owned(),
            r#"{"to":"","data":"0x02","value":1}"#.to_owned(),
        ];
        let digests: std::collections::BTreeSet<String> =
            bodies.iter().map(|body| parse(body).digest()).collect();
        assert_eq!(digests.len(), bodies.len());
    }
}
