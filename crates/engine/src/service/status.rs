//! How relayers are.

use baton_edge::Page;
use baton_model::{TxStatus, U256};

use super::Service;
use super::error::ServiceError;
use super::validate::rfc3339;
use super::view::{
    AccountStatus, BalanceView, DisabledReason, DisabledReasons, RelayerView, StatusView,
};
use crate::Relayer;

/// Alarms that stop an account, by their names, and the reference's words for them.
const STOPPING: [(&str, &str); 3] = [
    ("foreign_nonce", "NonceSyncFailed"),
    ("chain_behind", "NonceSyncFailed"),
    ("low_balance", "BalanceCheckFailed"),
];

impl Service {
    /// A page of the relayers that the caller sees, in the order of the configuration, and how many
    /// there are.
    pub async fn relayer_views(
        &self,
        page: Page,
        sees: impl Fn(&str) -> bool,
    ) -> Result<(Vec<RelayerView>, u64), ServiceError> {
        let skip = usize::try_from(page.offset()).unwrap_or(usize::MAX);
        let snapshot = self.registry.snapshot();
        let seen = snapshot.served.iter();
        let seen: Vec<_> = seen.filter(|one| sees(one.relayer.id.as_str())).collect();
        let mut views = Vec::new();
        for one in seen.iter().skip(skip).take(page.size() as usize) {
            views.push(self.view(&one.relayer).await?);
        }
        Ok((views, seen.len() as u64))
    }

    /// A relayer.
    pub async fn relayer_view(&self, id: &str) -> Result<RelayerView, ServiceError> {
        self.view(&self.relayer(id)?.relayer).await
    }

    /// A relayer's state, with nonce and balance as the chain has them now.
    pub async fn status(&self, id: &str) -> Result<StatusView, ServiceError> {
        let relayer = &self.relayer(id)?.relayer;
        let lane = relayer.lane();
        let glimpse = self.glimpse(self.table(&lane)).await?;
        let on_chain = self.on_chain(relayer).await?;
        let summary = glimpse.summary;
        let count = |status: TxStatus| summary.counts[status as usize];
        let pending = count(TxStatus::Pending) + count(TxStatus::Sent) + count(TxStatus::Submitted);
        let next = |address| {
            let account = summary.accounts.iter().find(|(a, _)| *a == address);
            account.map(|(_, next)| *next)
        };
        let balance = total(&on_chain);
        let nonce = on_chain.first().map_or(0, |account| account.nonce);
        let accounts = on_chain.iter().map(|account| AccountStatus {
            address: account.address,
            balance: account.balance.to_string(),
            nonce: account.nonce,
            next_nonce: next(account.address),
        });
        Ok(StatusView {
            network_type: "evm",
            balance: balance.to_string(),
            pending_transactions_count: pending + glimpse.unread,
            last_confirmed_transaction_timestamp: summary.last_confirmed_at.map(rfc3339),
            system_disabled: disabled_reason(relayer, &summary.alarms).is_some(),
            paused: relayer.paused,
            nonce: nonce.to_string(),
            accounts: accounts.collect(),
            alarms: summary.alarms,
        })
    }

    /// A relayer's balance as the chain has it now.
    pub async fn balance(&self, id: &str) -> Result<BalanceView, ServiceError> {
        let relayer = &self.relayer(id)?.relayer;
        let balance = total(&self.on_chain(relayer).await?);
        let balance = u128::try_from(balance).map_err(|_| {
            let text = format!("the balance of {id} is {balance} wei, more than 2^128-1");
            ServiceError::Defect(text)
        })?;
        Ok(BalanceView {
            balance,
            unit: "wei",
            balance_string: balance.to_string(),
        })
    }

    pub(super) async fn view(&self, relayer: &Relayer) -> Result<RelayerView, ServiceError> {
        let lane = relayer.lane();
        let summary = self.table(&lane).summary().await?;
        Ok(RelayerView::of(
            relayer,
            disabled_reason(relayer, &summary.alarms),
        ))
    }

    async fn on_chain(
        &self,
        relayer: &Relayer,
    ) -> Result<Vec<baton_chain::AccountView>, ServiceError> {
        let network = &relayer.network;
        let accounts = network.chain.accounts(&relayer.accounts).await;
        accounts.map_err(|source| ServiceError::Node {
            network: network.profile.name.clone(),
            source,
        })
    }
}

fn total(accounts: &[baton_chain::AccountView]) -> U256 {
    accounts.iter().fold(U256::ZERO, |sum, account| {
        sum.saturating_add(account.balance)
    })
}

/// Why none of a relayer's accounts can work; `None` while one can.
pub(crate) fn disabled_reason(relayer: &Relayer, alarms: &[String]) -> Option<DisabledReason> {
    let stopped = relayer.accounts.iter().map(|account| {
        let name = account.to_string();
        let of_account = |alarm: &&String| alarm.to_lowercase().contains(&name.to_lowercase());
        alarms
            .iter()
            .filter(of_account)
            .find_map(|alarm| stopping(alarm))
    });
    let mut reasons: Vec<DisabledReason> = stopped.collect::<Option<_>>()?;
    match reasons.len() {
        0 | 1 => reasons.pop(),
        _ => Some(DisabledReason {
            kind: "Multiple",
            details: DisabledReasons::Several(reasons),
        }),
    }
}

fn stopping(alarm: &str) -> Option<DisabledReason> {
    let name = alarm.split(':').next().unwrap_or_default();
    let (_, kind) = STOPPING.iter().find(|(known, _)| *known == name)?;
    Some(DisabledReason {
        kind,
        details: DisabledReasons::One(alarm.to_owned()),
    })
}
