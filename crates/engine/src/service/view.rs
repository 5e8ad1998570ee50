//! What callers see. Field names and the form of numbers are the reference's; fields that it does
//! not have are added at the end of each.

use alloy_primitives::hex;
use baton_lanes::record::RequestRecord;
use baton_model::{Address, B256, Bytes, Fees, Pricing, TxStatus, U256};
use schemars::JsonSchema;
use serde::Serialize;

use super::attempts::{self, AttemptView};
use super::request::speed_name;
use super::schema;
use super::validate::rfc3339;
use crate::Relayer;

/// A transaction. Every field is always there, null when it has no value. Prices are texts, `value`
/// is 0x-hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Transaction")]
pub struct TransactionView {
    /// Its id.
    pub id: String,
    /// Hash of the attempt that stands for it: the mined one, else the latest.
    #[schemars(with = "Option<schema::Hash>")]
    pub hash: Option<B256>,
    /// Where it stands.
    #[schemars(with = "schema::Status")]
    pub status: &'static str,
    /// Why it stands there.
    pub status_reason: Option<String>,
    /// When it was accepted.
    #[schemars(with = "schema::Time")]
    pub created_at: String,
    /// When a node first acknowledged it.
    #[schemars(with = "Option<schema::Time>")]
    pub sent_at: Option<String>,
    /// When it was found final; only of a confirmed one.
    #[schemars(with = "Option<schema::Time>")]
    pub confirmed_at: Option<String>,
    /// Wei per gas of a legacy transaction.
    #[schemars(with = "Option<schema::Decimal>")]
    pub gas_price: Option<String>,
    /// Gas limit, once known.
    pub gas_limit: Option<u64>,
    /// Nonce, once it has one.
    pub nonce: Option<u64>,
    /// Wei sent along.
    #[schemars(with = "schema::Quantity")]
    pub value: U256,
    /// Sending account; null for a relayer with several until one is chosen.
    #[schemars(with = "Option<schema::Address>")]
    pub from: Option<Address>,
    /// Target; null when it creates a contract.
    #[schemars(with = "Option<schema::Address>")]
    pub to: Option<Address>,
    /// Its relayer.
    pub relayer_id: String,
    /// Input; null when empty.
    #[schemars(with = "Option<schema::Hex>")]
    pub data: Option<Bytes>,
    /// Most wei per gas.
    #[schemars(with = "Option<schema::Decimal>")]
    pub max_fee_per_gas: Option<String>,
    /// Wei per gas for the proposer.
    #[schemars(with = "Option<schema::Decimal>")]
    pub max_priority_fee_per_gas: Option<String>,
    /// Signature of the attempt that stands for it.
    pub signature: Option<SignatureView>,
    /// Speed asked for.
    #[schemars(with = "Option<schema::Speed>")]
    pub speed: Option<&'static str>,
    /// Whether the caller asked to cancel it.
    pub is_canceled: bool,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// When it lapses.
    #[schemars(with = "schema::Time")]
    pub valid_until: String,
    /// Hashes of all attempts, oldest first.
    #[schemars(with = "Vec<schema::Hash>")]
    pub hashes: Vec<B256>,
    /// The same with their nonces, fees and times.
    pub attempts: Vec<AttemptView>,
    /// When it was found in a block.
    #[schemars(with = "Option<schema::Time>")]
    pub mined_at: Option<String>,
    /// When it reached a final status, whichever.
    #[schemars(with = "Option<schema::Time>")]
    pub finished_at: Option<String>,
    /// Its block.
    pub block_number: Option<u64>,
    /// Hash of its block.
    #[schemars(with = "Option<schema::Hash>")]
    pub block_hash: Option<B256>,
    /// Gas used.
    pub gas_used: Option<u64>,
    /// Wei paid per gas.
    #[schemars(with = "Option<schema::Decimal>")]
    pub effective_gas_price: Option<String>,
    /// Contract that it created.
    #[schemars(with = "Option<schema::Address>")]
    pub contract_address: Option<Address>,
}

/// A signature, in hex without a prefix as in the reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Signature")]
pub struct SignatureView {
    /// 32 bytes.
    pub r: String,
    /// 32 bytes.
    pub s: String,
    /// 27 or 28.
    pub v: u8,
    /// `r`, `s` and `v` in one.
    pub sig: String,
}

/// A relayer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Relayer")]
pub struct RelayerView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its network.
    pub network: String,
    /// `evm`.
    #[schemars(with = "schema::Evm")]
    pub network_type: &'static str,
    /// Whether it takes no new work.
    pub paused: bool,
    /// Its policy; left out when none was configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<PolicyView>,
    /// Its first signer.
    pub signer_id: String,
    /// Its notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<String>,
    /// Its own endpoints, without what may hold a key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub custom_rpc_urls: Vec<CustomRpcUrl>,
    /// Its first account.
    #[schemars(with = "schema::Address")]
    pub address: Address,
    /// Whether none of its accounts can work until somebody acts.
    pub system_disabled: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<DisabledReason>,
    /// All its accounts.
    #[schemars(with = "Vec<schema::Address>")]
    pub accounts: Vec<Address>,
    /// All its signers, in the order of the accounts.
    pub signer_ids: Vec<String>,
    /// The large numbers of its policy as texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_policies: Option<ExactPolicyView>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Policy")]
pub struct PolicyView {
    /// Wei.
    pub min_balance: u128,
    /// Whether a missing gas limit is estimated.
    pub gas_limit_estimation: bool,
    /// Most wei per gas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas_price_cap: Option<u128>,
    /// Targets that may be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<schema::Address>>")]
    pub whitelist_receivers: Option<Vec<Address>>,
    /// Whether EIP-1559 fees are used where there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eip1559_pricing: Option<bool>,
    /// Echoed only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_transactions: Option<bool>,
    /// Whether the reason of a revert is fetched.
    pub include_revert_data: bool,
}

/// The large numbers of a policy as texts, which nobody rounds. They stand apart, because clients of the reference
/// refuse a policy with fields that they do not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ExactPolicy")]
pub struct ExactPolicyView {
    /// Wei.
    #[schemars(with = "schema::Decimal")]
    pub min_balance: String,
    /// Most wei per gas.
    #[schemars(with = "Option<schema::Decimal>")]
    pub gas_price_cap: Option<String>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CustomRpcUrl {
    /// Scheme and host.
    pub url: String,
    /// 0 to 100.
    pub weight: u8,
}

/// Why a relayer does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DisabledReason {
    /// Kind of trouble, in the reference's words.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// For people, or the single reasons of `Multiple`.
    pub details: DisabledReasons,
}

/// The details of a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DisabledReasons {
    /// A text.
    One(String),
    /// Several reasons.
    Several(Vec<DisabledReason>),
}

/// A relayer's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RelayerStatus")]
pub struct StatusView {
    /// `evm`.
    #[schemars(with = "schema::Evm")]
    pub network_type: &'static str,
    /// Wei of all accounts, as a text.
    #[schemars(with = "schema::Decimal")]
    pub balance: String,
    /// Transactions that are pending, sent or submitted.
    pub pending_transactions_count: u64,
    /// When a transaction was last confirmed.
    #[schemars(with = "Option<schema::Time>")]
    pub last_confirmed_transaction_timestamp: Option<String>,
    /// Whether none of its accounts can work until somebody acts.
    pub system_disabled: bool,
    /// Whether it takes no new work.
    pub paused: bool,
    /// Nonce of the first account on chain, as a text.
    #[schemars(with = "schema::Decimal")]
    pub nonce: String,
    /// What needs a person.
    pub alarms: Vec<String>,
    /// The accounts.
    pub accounts: Vec<AccountStatus>,
}

/// An account's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountStatus {
    /// The account.
    #[schemars(with = "schema::Address")]
    pub address: Address,
    /// Wei, as a text.
    #[schemars(with = "schema::Decimal")]
    pub balance: String,
    /// Next nonce to be mined.
    pub nonce: u64,
    /// Next nonce that will be given out; null before its lane ran.
    pub next_nonce: Option<u64>,
}

/// A relayer's balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Balance")]
pub struct BalanceView {
    /// Wei of all accounts. Beyond 2^53, readers of JSON that know one kind of number only round it.
    pub balance: u128,
    /// `wei`.
    pub unit: &'static str,
    /// The balance as a text, which nobody rounds.
    #[schemars(with = "schema::Decimal")]
    pub balance_string: String,
}

impl TransactionView {
    pub(crate) fn of(record: &RequestRecord, relayer: &Relayer) -> Self {
        let current = record.current.as_ref();
        let receipt = record.receipt.as_ref();
        let spec = &record.spec;
        let [gas_price, max_fee, max_priority_fee] = prices(record);
        let is_confirmed = record.status == TxStatus::Confirmed;
        Self {
            id: record.id.to_string(),
            hash: current.map(|attempt| attempt.hash),
            status: record.status.as_str(),
            status_reason: record.status_reason.clone(),
            created_at: rfc3339(record.created_at),
            sent_at: record.sent_at.map(rfc3339),
            confirmed_at: record.finished_at.filter(|_| is_confirmed).map(rfc3339),
            gas_price,
            gas_limit: current.map(|attempt| attempt.gas_limit).or(spec.gas_limit),
            nonce: current.map(|attempt| attempt.nonce),
            value: spec.call.value,
            from: match (current, relayer.accounts.as_slice()) {
                (Some(attempt), _) => Some(attempt.account),
                (None, [only]) => Some(*only),
                (None, _) => None,
            },
            to: spec.call.to,
            relayer_id: relayer.id.to_string(),
            data: Some(spec.call.data.clone()).filter(|data| !data.is_empty()),
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: max_priority_fee,
            signature: current.and_then(|attempt| SignatureView::of(&attempt.signature)),
            speed: match spec.pricing {
                Pricing::Speed(speed) => Some(speed_name(speed)),
                Pricing::Legacy { .. } | Pricing::Eip1559 { .. } => None,
            },
            is_canceled: record.is_canceled,
            chain_id: relayer.network.profile.chain_id,
            valid_until: rfc3339(spec.valid_until),
            hashes: record.hashes.clone(),
            attempts: attempts::of(record),
            mined_at: record.mined_at.map(rfc3339),
            finished_at: record.finished_at.map(rfc3339),
            block_number: receipt.map(|receipt| receipt.block_number),
            block_hash: receipt.map(|receipt| receipt.block_hash),
            gas_used: receipt.map(|receipt| receipt.gas_used),
            effective_gas_price: receipt.map(|receipt| receipt.effective_gas_price.to_string()),
            contract_address: receipt.and_then(|receipt| receipt.contract),
        }
    }
}

/// Legacy price, most per gas, tip: of the attempt that stands for the request, else as the caller
/// gave them.
fn prices(record: &RequestRecord) -> [Option<String>; 3] {
    let attempt = record.current.as_ref().map(|attempt| attempt.fees);
    let fees = attempt.or(match record.spec.pricing {
        Pricing::Speed(_) => None,
        Pricing::Legacy { gas_price } => Some(Fees::Legacy { gas_price }),
        Pricing::Eip1559 {
            max_fee,
            max_priority_fee,
        } => Some(Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        }),
    });
    price_texts(fees)
}

/// Legacy price, most per gas, tip, as decimal texts.
pub(super) fn price_texts(fees: Option<Fees>) -> [Option<String>; 3] {
    match fees {
        None => [None, None, None],
        Some(Fees::Legacy { gas_price }) => [Some(gas_price.to_string()), None, None],
        Some(Fees::Eip1559 {
            max_fee,
            max_priority_fee,
        }) => [
            None,
            Some(max_fee.to_string()),
            Some(max_priority_fee.to_string()),
        ],
    }
}

impl SignatureView {
    /// From `r`, `s` and parity; an adopted transaction has no signature on record.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 65] = bytes.try_into().ok()?;
        let mut whole = *bytes;
        // The parity is stored as 0 or 1; the reference shows it as Ethereum's 27 or 28.
        if whole[64] < 27 {
            whole[64] += 27;
        }
        Some(Self {
            r: hex::encode(&whole[..32]),
            s: hex::encode(&whole[32..64]),
            v: whole[64],
            sig: hex::encode(whole),
        })
    }
}

impl RelayerView {
    pub(crate) fn of(relayer: &Relayer, disabled_reason: Option<DisabledReason>) -> Self {
        let policy = relayer.policy_given.then(|| PolicyView::of(relayer));
        let exact = policy.as_ref().map(|policy| ExactPolicyView {
            min_balance: policy.min_balance.to_string(),
            gas_price_cap: policy.gas_price_cap.map(|cap| cap.to_string()),
        });
        let urls = relayer.custom_rpc_urls.iter();
        Self {
            id: relayer.id.to_string(),
            name: relayer.name.clone(),
            network: relayer.network.profile.name.clone(),
            network_type: "evm",
            paused: relayer.paused,
            policies: policy,
            signer_id: relayer.signer_ids.first().cloned().unwrap_or_default(),
            notification_id: relayer.notification_id.clone(),
            custom_rpc_urls: urls
                .map(|(host, weight)| CustomRpcUrl {
                    url: format!("{host}/***"),
                    weight: *weight,
                })
                .collect(),
            address: relayer.address(),
            system_disabled: disabled_reason.is_some(),
            disabled_reason,
            accounts: relayer.accounts.clone(),
            signer_ids: relayer.signer_ids.clone(),
            exact_policies: exact,
        }
    }
}

impl DisabledReason {
    /// The details in one text.
    pub(crate) fn text(&self) -> String {
        match &self.details {
            DisabledReasons::One(text) => text.clone(),
            DisabledReasons::Several(reasons) => {
                let texts: Vec<String> = reasons.iter().map(Self::text).collect();
                texts.join("; ")
            }
        }
    }
}

impl PolicyView {
    fn of(relayer: &Relayer) -> Self {
        let policy = &relayer.policy;
        Self {
            min_balance: policy.min_balance,
            gas_limit_estimation: policy.gas_limit_estimation,
            gas_price_cap: policy.gas_price_cap,
            whitelist_receivers: policy.whitelist_receivers.clone(),
            eip1559_pricing: policy.eip1559_pricing,
            private_transactions: policy.private_transactions,
            include_revert_data: policy.include_revert_data,
        }
    }
}
