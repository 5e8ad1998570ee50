//! The fee market.

use serde::Deserialize;

use super::quantity::Quantity;
use super::{ask_latest, parse};
use crate::client::{Market, RpcError};
use crate::rpc::{Ask, Pool};

/// Blocks over which tips are averaged.
const BLOCKS: &str = "0x4";
const HISTORY: &str = "eth_feeHistory";
const PRICE: &str = "eth_gasPrice";

pub(super) async fn market(
    pool: &Pool,
    eip1559: bool,
    percentiles: &[u8],
) -> Result<Market, RpcError> {
    let price_ask = Ask::new(PRICE, &[(); 0]);
    if !eip1559 {
        let (_, [price]) = ask_latest(pool, [price_ask]).await?;
        return Ok(Market {
            base_fee: None,
            tips: Vec::new(),
            gas_price: parse::<Quantity<u128>>(PRICE, price)?.0,
        });
    }
    let history_ask = Ask::new(HISTORY, &(BLOCKS, "latest", percentiles));
    let (_, [history, price]) = ask_latest(pool, [history_ask, price_ask]).await?;
    let history: History = parse(HISTORY, history)?;
    Ok(Market {
        base_fee: Some(history.next_base_fee()?),
        tips: history.tips(percentiles.len()),
        gas_price: parse::<Quantity<u128>>(PRICE, price)?.0,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    base_fee_per_gas: Vec<Quantity<u128>>,
    reward: Option<Vec<Vec<Quantity<u128>>>>,
}

impl History {
    /// One more base fee is given than blocks: that of the block to come.
    fn next_base_fee(&self) -> Result<u128, RpcError> {
        let last = self.base_fee_per_gas.last().map(|fee| fee.0);
        last.ok_or_else(|| RpcError::NoAnswer {
            reason: format!("result of {HISTORY} has no base fee"),
        })
    }

    /// Empty blocks report rewards of zero, which say nothing about the price of being included.
    fn tips(&self, percentiles: usize) -> Vec<u128> {
        let blocks = self.reward.as_deref().unwrap_or_default();
        (0..percentiles)
            .map(|percentile| {
                let rewards: Vec<u128> = blocks
                    .iter()
                    .filter_map(|block| block.get(percentile))
                    .map(|reward| reward.0)
                    .filter(|reward| *reward > 0)
                    .collect();
                let sum = rewards
                    .iter()
                    .fold(0, |sum: u128, r| sum.saturating_add(*r));
                sum.checked_div(rewards.len() as u128).unwrap_or(0)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tips_are_means_of_what_is_not_zero() {
        let history: History = serde_json::from_str(
            r#"{"baseFeePerGas":["0x1","0x2","0x7"],"reward":[["0x0","0xa"],["0x4","0x14"]]}"#,
        )
        .unwrap();
        assert_eq!(history.tips(3), [4, 15, 0]);
        assert_eq!(history.next_base_fee().unwrap(), 7);
    }

    #[test]
    fn a_history_without_rewards_or_fees_is_no_panic() {
        for text in [
            r#"{"baseFeePerGas":[],"reward":null}"#,
            r#"{"baseFeePerGas":[]}"#,
        ] {
            let history: History = serde_json::from_str(text).unwrap();
            assert_eq!(history.tips(1), [0]);
            assert!(history.next_base_fee().is_err());
        }
    }
}
