//! The attempts of a transaction, as the API shows them.

use baton_lanes::record::{AttemptKind, AttemptSummary, PastAttempt, RequestRecord};
use baton_model::{Address, B256};
use schemars::JsonSchema;
use serde::Serialize;

use super::schema;
use super::validate::rfc3339;
use super::view::price_texts;

/// One signed transaction that stands, or stood, for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub struct AttemptView {
    /// Transaction hash.
    #[schemars(with = "schema::Hash")]
    pub hash: B256,
    /// Sending account.
    #[schemars(with = "schema::Address")]
    pub from: Address,
    /// Nonce.
    pub nonce: u64,
    /// Whether it only uses the nonce up, in place of a call that is cancelled or was refused.
    pub is_noop: bool,
    /// Gas limit.
    pub gas_limit: u64,
    /// Wei per gas, of a legacy transaction.
    #[schemars(with = "Option<schema::Decimal>")]
    pub gas_price: Option<String>,
    /// Most wei per gas.
    #[schemars(with = "Option<schema::Decimal>")]
    pub max_fee_per_gas: Option<String>,
    /// Wei per gas for the proposer.
    #[schemars(with = "Option<schema::Decimal>")]
    pub max_priority_fee_per_gas: Option<String>,
    /// When it was signed; kept once there is more than one attempt.
    #[schemars(with = "Option<schema::Time>")]
    pub created_at: Option<String>,
    /// When a node first acknowledged it.
    #[schemars(with = "Option<schema::Time>")]
    pub sent_at: Option<String>,
}

/// All attempts of a request, oldest first.
pub(super) fn of(record: &RequestRecord) -> Vec<AttemptView> {
    match (&record.current, record.history.as_slice()) {
        (Some(current), []) => vec![only(current, record)],
        (Some(_) | None, history) => history.iter().map(past).collect(),
    }
}

fn only(current: &AttemptSummary, record: &RequestRecord) -> AttemptView {
    let [gas_price, max_fee_per_gas, max_priority_fee_per_gas] = price_texts(Some(current.fees));
    let sent_at = record.sent_at.map(rfc3339);
    AttemptView {
        hash: current.hash,
        from: current.account,
        nonce: current.nonce,
        is_noop: false,
        gas_limit: current.gas_limit,
        gas_price,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        created_at: None,
        sent_at,
    }
}

fn past(attempt: &PastAttempt) -> AttemptView {
    let [gas_price, max_fee_per_gas, max_priority_fee_per_gas] = price_texts(Some(attempt.fees));
    AttemptView {
        hash: attempt.hash,
        from: attempt.account,
        nonce: attempt.nonce,
        is_noop: attempt.kind == AttemptKind::Noop,
        gas_limit: attempt.gas_limit,
        gas_price,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        created_at: Some(rfc3339(attempt.created_at)),
        sent_at: attempt.acknowledged_at.map(rfc3339),
    }
}
