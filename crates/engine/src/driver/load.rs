//! Reads a lane's durable state.

use std::time::Duration;

use baton_coord::{Key, Scan, StoreError};
use baton_lanes::Restored;
use baton_lanes::record::{self, Record, RecordError, SummaryRecord, key};
use baton_model::{Address, Classified, LaneId, RequestId, Retry};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::SharedStore;

/// Records read in one page.
const PAGE: usize = 1024;
/// Records read at a time.
const CONCURRENT: usize = 64;
/// Entries of the inbox that are taken in before a lane judges what it finds on the chain: more than are accepted in
/// the seconds that a store may lose, and fewer than a lane takes in without giving out nonces.
const INBOX_AWAITED_MAX: u64 = 10_000;
/// Pause before a read that the store could not answer is repeated.
const READ_RETRY: Duration = Duration::from_millis(100);

/// Why a lane's durable state cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{key}: {source}")]
    Record { key: String, source: RecordError },
    #[error("{key}: {reason}")]
    Damaged { key: String, reason: &'static str },
}

pub(super) async fn load(
    store: &SharedStore,
    lane: &LaneId,
    accounts: &[Address],
) -> Result<Restored, LoadError> {
    let mut restored = Restored::default();
    let open = scan_all(store, lane, key::OPEN).await?;
    let requests = stream::iter(open).map(|(key, value)| async move {
        let damaged = |reason| LoadError::Damaged {
            key: key.clone(),
            reason,
        };
        let position = number_at_end(&key).ok_or_else(|| damaged("no position"))?;
        let id = text(&value).and_then(|t| t.parse::<RequestId>().ok());
        let id = id.ok_or_else(|| damaged("no request id"))?;
        let request = get(store, lane, key::request(id)).await?;
        Ok::<_, LoadError>((
            position,
            request.ok_or_else(|| damaged("its request is missing"))?,
        ))
    });
    restored.requests = requests.buffered(CONCURRENT).try_collect().await?;
    for (key, value) in scan_all(store, lane, key::SLOTS).await? {
        let (account, nonce) = slot_key(&key).ok_or_else(|| LoadError::Damaged {
            key: key.clone(),
            reason: "no account or nonce",
        })?;
        let slot = decode(&key, &value)?;
        restored.slots.push((account, nonce, slot));
    }
    for account in accounts {
        if let Some(record) = get(store, lane, key::account(*account)).await? {
            restored.accounts.push((*account, record));
        }
    }
    let summary: Option<SummaryRecord> = get(store, lane, key::SUMMARY.to_owned()).await?;
    let taken_in = summary.as_ref().map_or(0, |summary| summary.inbox);
    let last = persist(|| store.last(lane)).await?;
    restored.inbox = last.0.min(taken_in.saturating_add(INBOX_AWAITED_MAX));
    restored.summary = summary;
    Ok(restored)
}

async fn scan_all(
    store: &SharedStore,
    lane: &LaneId,
    prefix: &'static str,
) -> Result<Vec<(String, bytes::Bytes)>, LoadError> {
    let mut all = Vec::new();
    let mut scan = Scan::prefix(prefix.as_bytes(), PAGE);
    loop {
        let page = persist(|| store.scan(lane, &scan)).await?;
        let full = page.len() == PAGE;
        scan.after = page.last().map(|entry| entry.key.clone());
        for entry in page {
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            all.push((key, entry.value));
        }
        if !full {
            return Ok(all);
        }
    }
}

/// A record by its key.
pub(super) async fn get<T: Record>(
    store: &SharedStore,
    lane: &LaneId,
    key: String,
) -> Result<Option<T>, LoadError> {
    let name = Key::from(key.clone());
    let entry = persist(|| store.get(lane, &name)).await?;
    entry.map(|entry| decode(&key, &entry.value)).transpose()
}

/// Reads until the store can answer; whoever asks gives up when the baton is lost.
pub(super) async fn persist<T, F>(mut read: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match read().await {
            Err(error) if error.retry() != Retry::Never => {
                tracing::warn!(%error, "cannot read from the store; trying again");
                tokio::time::sleep(READ_RETRY).await;
            }
            result => return result,
        }
    }
}

fn decode<T: Record>(key: &str, value: &[u8]) -> Result<T, LoadError> {
    record::decode(value).map_err(|source| LoadError::Record {
        key: key.to_owned(),
        source,
    })
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn number_at_end(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.parse().ok()
}

fn slot_key(key: &str) -> Option<(Address, u64)> {
    let (account, nonce) = key.strip_prefix(key::SLOTS)?.split_once('/')?;
    Some((account.parse().ok()?, nonce.parse().ok()?))
}
