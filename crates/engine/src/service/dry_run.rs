//! What would become of a transaction if it were sent now.

use baton_chain::{PassedCall, RpcError};
use baton_lanes::{MarketView, SPEED_PERCENTILES, first_bid, gas_with_margin};
use baton_model::{Address, TxSpec, U256};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::Service;
use super::error::ServiceError;
use super::request::TxRequest;
use super::schema;
use super::validate::{accepted_spec, intrinsic_gas};
use super::view::price_texts;
use crate::Relayer;

/// What would become of a transaction. Amounts are wei as decimal texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DryRun")]
pub struct DryRunView {
    /// Whether it would be bound to a nonce and executed without reverting, as far as can be told now.
    pub would_succeed: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What a node said of a revert: its data, which decodes to the contract's error.
    #[schemars(with = "Option<schema::Hex>")]
    pub revert_data: Option<String>,
    /// The account that it was tried from.
    #[schemars(with = "schema::Address")]
    pub from: Address,
    /// Gas that it needs now.
    pub gas_estimate: Option<u64>,
    /// The limit that it would get: the caller's, or the estimate and a margin.
    pub gas_limit: Option<u64>,
    /// Base fee of the next block.
    #[schemars(with = "Option<schema::Decimal>")]
    pub base_fee: Option<String>,
    /// Wei per gas of a legacy transaction.
    #[schemars(with = "Option<schema::Decimal>")]
    pub gas_price: Option<String>,
    /// Most wei per gas.
    #[schemars(with = "Option<schema::Decimal>")]
    pub max_fee_per_gas: Option<String>,
    /// Wei per gas for the proposer.
    #[schemars(with = "Option<schema::Decimal>")]
    pub max_priority_fee_per_gas: Option<String>,
    /// What its gas would cost at the next block's base fee.
    #[schemars(with = "Option<schema::Decimal>")]
    pub fee_expected: Option<String>,
    /// The most that its gas can cost; data fees of a parent chain come on top.
    #[schemars(with = "Option<schema::Decimal>")]
    pub fee_max: Option<String>,
    /// `fee_max` and the value sent along: what an account has to have.
    #[schemars(with = "Option<schema::Decimal>")]
    pub cost_max: Option<String>,
    /// What the account has.
    #[schemars(with = "schema::Decimal")]
    pub balance: String,
}

/// What a node makes of a call.
enum Tried {
    Gas(u64),
    Fails {
        reason: String,
        data: Option<String>,
    },
}

impl Service {
    /// Tries a transaction without sending it: nothing is accepted, no nonce is taken, nothing is signed.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] as when it were sent, [`ServiceError::Node`] when no node answers.
    pub async fn dry_run(
        &self,
        relayer: &str,
        body: &RawValue,
    ) -> Result<DryRunView, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let request = TxRequest::parse(body).map_err(ServiceError::Invalid)?;
        let now = self.clock.now();
        let spec = accepted_spec(&request, relayer, now, self.options.validity);
        let spec = spec.map_err(ServiceError::Invalid)?;
        let chain = &relayer.network.chain;
        let from = relayer.address();
        let (tried, market, accounts) = tokio::join!(
            tried(relayer, from, &spec),
            chain.market(&SPEED_PERCENTILES),
            chain.accounts(std::slice::from_ref(&from)),
        );
        let node = |source: RpcError| ServiceError::Node {
            network: relayer.network.profile.name.clone(),
            source,
        };
        let (tried, market, accounts) = (tried.map_err(node)?, market, accounts.map_err(node)?);
        let market = market.map_err(node)?;
        let market = MarketView {
            base_fee: market.base_fee,
            tips: market.tips.try_into().unwrap_or([0; 4]),
            gas_price: market.gas_price,
        };
        let balance = accounts
            .first()
            .map_or(U256::ZERO, |account| account.balance);
        Ok(judged(relayer, &spec, tried, &market, balance))
    }
}

fn judged(
    relayer: &Relayer,
    spec: &TxSpec,
    tried: Tried,
    market: &MarketView,
    balance: U256,
) -> DryRunView {
    let profile = &relayer.network.profile;
    let bid = first_bid(spec.pricing, market, &relayer.policy, profile);
    let fees = bid.ok();
    let (gas_estimate, mut reason, revert_data) = match tried {
        Tried::Gas(gas) => (Some(gas), None, None),
        Tried::Fails { reason, data } => (None, Some(reason), data),
    };
    let gas_limit = spec.gas_limit.or(gas_estimate.map(gas_with_margin));
    if let (Some(limit), Some(needed)) = (spec.gas_limit, gas_estimate)
        && limit < needed
    {
        reason.get_or_insert(format!(
            "gas_limit {limit} is below the {needed} that it needs"
        ));
    }
    if let Err(hold) = bid {
        reason.get_or_insert(hold.reason());
    }
    let fee_max = fees
        .zip(gas_limit)
        .map(|(fees, gas)| wei(fees.max_per_gas(), gas));
    let cost_max = fee_max.map(|fee| fee.saturating_add(spec.call.value));
    let least = U256::from(relayer.policy.min_balance);
    if cost_max.is_some_and(|cost| cost > balance) || balance < least {
        let text =
            format!("the balance of {balance} wei does not cover it, or is below min_balance");
        reason.get_or_insert(text);
    }
    let expected = fees.zip(gas_estimate).map(|(fees, gas)| {
        let base = market
            .base_fee
            .unwrap_or(0)
            .saturating_add(fees.tip_per_gas());
        wei(fees.max_per_gas().min(base), gas)
    });
    let [gas_price, max_fee, tip] = price_texts(fees);
    DryRunView {
        would_succeed: reason.is_none(),
        reason,
        revert_data,
        from: relayer.address(),
        gas_estimate,
        gas_limit,
        base_fee: market.base_fee.map(|fee| fee.to_string()),
        gas_price,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: tip,
        fee_expected: expected.map(|fee| fee.to_string()),
        fee_max: fee_max.map(|fee| fee.to_string()),
        cost_max: cost_max.map(|cost| cost.to_string()),
        balance: balance.to_string(),
    }
}

fn wei(per_gas: u128, gas: u64) -> U256 {
    U256::from(per_gas).saturating_mul(U256::from(gas))
}

/// Asks a node, as for any question of a caller: how it ends says nothing of the node.
async fn tried(relayer: &Relayer, from: Address, spec: &TxSpec) -> Result<Tried, RpcError> {
    let call = &spec.call;
    let mut fields = json!({ "from": from, "value": call.value, "data": call.data });
    if let Some(to) = call.to {
        fields["to"] = json!(to);
    }
    let written = |error: serde_json::Error| RpcError::NoAnswer {
        reason: error.to_string(),
    };
    let asked = PassedCall {
        method: "eth_estimateGas",
        params: to_raw_value(&[fields]).map_err(written)?,
    };
    let answers = relayer.network.chain.pass(&[asked]).await?;
    let answer = answers.into_iter().next();
    match answer {
        Some(Ok(gas)) => {
            let gas: Option<U256> = serde_json::from_str(gas.get()).ok();
            let gas = gas.and_then(|gas| u64::try_from(gas).ok());
            let least = intrinsic_gas(call.to, &call.data);
            gas.map(|gas| Tried::Gas(gas.max(least)))
                .ok_or_else(|| RpcError::NoAnswer {
                    reason: "the node answered with something else than gas".to_owned(),
                })
        }
        Some(Err(RpcError::Answered { message, data, .. })) => Ok(Tried::Fails {
            reason: message,
            data: data.and_then(|data| serde_json::from_str(&data).ok()),
        }),
        Some(Err(error)) => Err(error),
        None => Err(RpcError::NoAnswer {
            reason: "the node left the question out".to_owned(),
        }),
    }
}
