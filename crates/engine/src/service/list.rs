//! Finding transactions.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_coord::limits::SCAN_SKIP_MAX;
use baton_coord::{LogEntry, Position, SCAN_LIMIT_MAX, Scan};
use baton_edge::Page;
use baton_lanes::record::{RequestRecord, SlotRecord, SummaryRecord, key};
use baton_model::{LaneId, RequestId, TxStatus};

use super::Service;
use super::error::ServiceError;
use super::table::{LaneTable, TableError, accepts};
use super::view::TransactionView;
use crate::Relayer;

/// Most open requests that one filtered list looks at. They are read one by one, some microseconds
/// each on an embedded store; beyond, the call would run into its time-out anyway.
const LOOK_MAX: usize = 64 * 1024;
/// Most inbox entries that are looked at to count the requests among them. Beyond, every entry
/// counts as one.
const COUNT_MAX: u64 = SCAN_LIMIT_MAX as u64;
/// Open requests looked at in one step.
const STEP: usize = 256;
/// Times that the summary is read again because the lane took entries in between.
const GLIMPSE_TRIES: usize = 5;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The transactions, newest first.
    pub transactions: Vec<TransactionView>,
    /// How many there are on all pages.
    pub total: u64,
}

/// What a lane said of itself, and what it has not taken in yet.
pub(super) struct Glimpse {
    pub(super) summary: SummaryRecord,
    /// Position of the inbox's last entry.
    last: u64,
    /// Requests accepted but not taken in.
    pub(super) unread: u64,
}

impl Service {
    /// A transaction of a relayer. Those of other relayers are not found.
    pub async fn transaction(
        &self,
        relayer: &str,
        id: &str,
    ) -> Result<TransactionView, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let record = self.record(relayer, id).await?;
        Ok(TransactionView::of(&record, relayer))
    }

    /// The transaction that uses, or used, a nonce of one of the relayer's accounts. With several
    /// accounts it is that of the first account, in the order of the configuration, that has one.
    pub async fn transaction_by_nonce(
        &self,
        relayer: &str,
        nonce: u64,
    ) -> Result<TransactionView, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let lane = relayer.lane();
        let table = self.table(&lane);
        for account in &relayer.accounts {
            let slot: Option<SlotRecord> = table.get(key::slot(*account, nonce)).await?;
            let id = match slot.and_then(|slot| slot.request) {
                Some(id) => Some(id),
                None => table.id_at(key::nonce(*account, nonce)).await?,
            };
            if let Some(id) = id
                && let Some(record) = table.request(id).await?
            {
                return Ok(TransactionView::of(&record, relayer));
            }
        }
        Err(ServiceError::NotFound(format!(
            "Transaction with nonce {nonce} not found"
        )))
    }

    /// A page of a relayer's transactions, newest first, all or those with one status. A filter by
    /// a status that is not final leaves out those that are being cancelled; unless all open ones
    /// were looked at, the total still counts them.
    pub async fn transactions(
        &self,
        relayer: &str,
        status: Option<TxStatus>,
        page: Page,
    ) -> Result<Listed, ServiceError> {
        let relayer = &self.relayer(relayer)?.relayer;
        let Some(skip) = usize::try_from(page.offset())
            .ok()
            .filter(|skip| *skip <= SCAN_SKIP_MAX)
        else {
            return Err(ServiceError::Invalid(format!(
                "page must begin within the first {SCAN_SKIP_MAX} transactions; found page {} of \
                {} each",
                page.number(),
                page.size()
            )));
        };
        let window = Window {
            skip,
            size: page.size() as usize,
        };
        let lane = relayer.lane();
        let table = self.table(&lane);
        let (records, total) = match status {
            None => self.all(table, window).await?,
            Some(status) if status.is_final() => ended(table, status, window).await?,
            Some(TxStatus::Pending) => self.pending(table, window).await?,
            Some(status) => bound(table, status, window).await?,
        };
        let transactions = records
            .iter()
            .map(|record| TransactionView::of(record, relayer))
            .collect();
        Ok(Listed {
            transactions,
            total,
        })
    }

    /// A relayer's record of a request by the id that a caller gave.
    pub(super) async fn record(
        &self,
        relayer: &Relayer,
        id: &str,
    ) -> Result<RequestRecord, ServiceError> {
        let not_found = || ServiceError::transaction_not_found(id);
        let parsed: RequestId = id.parse().map_err(|_| not_found())?;
        let lane = relayer.lane();
        let record = self.table(&lane).request(parsed).await?;
        record.ok_or_else(not_found)
    }

    pub(super) const fn table<'a>(&'a self, lane: &'a LaneId) -> LaneTable<'a> {
        LaneTable {
            store: &self.store,
            lane,
        }
    }

    /// Reads a lane's summary and the inbox behind it, as they are at one time.
    pub(super) async fn glimpse(&self, table: LaneTable<'_>) -> Result<Glimpse, TableError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let summary = table.summary().await?;
            let last = self.store.last(table.lane).await?.0;
            let waiting = last.saturating_sub(summary.inbox);
            if waiting == 0 || waiting > COUNT_MAX {
                return Ok(Glimpse {
                    summary,
                    last,
                    unread: waiting,
                });
            }
            let entries = self.inbox(table, summary.inbox, waiting).await?;
            // Entries leave the log as the summary that counts them is written.
            let is_whole = entries.len() as u64 == waiting;
            if is_whole || tries == GLIMPSE_TRIES {
                let unread = accepts(&entries)?.len() as u64;
                return Ok(Glimpse {
                    summary,
                    last,
                    unread,
                });
            }
        }
    }

    /// Inbox entries after a position, without waiting for any.
    pub(super) async fn inbox(
        &self,
        table: LaneTable<'_>,
        after: u64,
        count: u64,
    ) -> Result<Vec<LogEntry>, TableError> {
        let limit =
            usize::try_from(count).map_or(SCAN_LIMIT_MAX, |count| count.min(SCAN_LIMIT_MAX));
        let read = self
            .store
            .read(table.lane, Position(after), limit, Duration::ZERO);
        Ok(read.await?)
    }

    async fn all(
        &self,
        table: LaneTable<'_>,
        window: Window,
    ) -> Result<(Vec<RequestRecord>, u64), TableError> {
        let glimpse = self.glimpse(table).await?;
        let ids = table.ids_by_key(&window.newest(key::CREATED)).await?;
        let total = glimpse.summary.counts.iter().sum::<u64>() + glimpse.unread;
        Ok((table.requests(ids).await?, total))
    }

    /// Pending requests are the newest of the open ones: what the lane has not taken in, then the
    /// index backwards.
    async fn pending(
        &self,
        table: LaneTable<'_>,
        window: Window,
    ) -> Result<(Vec<RequestRecord>, u64), TableError> {
        let glimpse = self.glimpse(table).await?;
        let mut sieve = Sieve::new(TxStatus::Pending);
        let mut end = glimpse.last;
        while end > glimpse.summary.inbox && sieve.wants(window) {
            let start = end.saturating_sub(STEP as u64).max(glimpse.summary.inbox);
            let mut entries = self.inbox(table, start, end - start).await?;
            // Where entries were taken in meanwhile, later ones come in their place.
            entries.retain(|entry| entry.position.0 <= end);
            let mut ids = accepts(&entries)?;
            ids.reverse();
            sieve.look(table, ids).await?;
            end = start;
        }
        let mut index = Scan {
            reverse: true,
            ..Scan::prefix(key::OPEN, STEP)
        };
        let mut is_whole = false;
        while !is_whole && sieve.wants(window) {
            is_whole = sieve.step(table, &mut index).await?;
        }
        let counted = glimpse.summary.counts[TxStatus::Pending as usize] + glimpse.unread;
        sieve.finish(table, window, is_whole, counted).await
    }
}

/// Final ones have an index of their own.
async fn ended(
    table: LaneTable<'_>,
    status: TxStatus,
    window: Window,
) -> Result<(Vec<RequestRecord>, u64), TableError> {
    let summary = table.summary().await?;
    let scan = window.newest(key::finished_prefix(status));
    let ids = table.ids_by_key(&scan).await?;
    Ok((table.requests(ids).await?, summary.counts[status as usize]))
}

/// Requests with a nonce are the oldest of the open ones, and how many there are is known: the
/// index is read forwards until all are seen.
async fn bound(
    table: LaneTable<'_>,
    status: TxStatus,
    window: Window,
) -> Result<(Vec<RequestRecord>, u64), TableError> {
    let counted = table.summary().await?.counts[status as usize];
    let mut sieve = Sieve::new(status);
    let mut index = Scan::prefix(key::OPEN, STEP);
    let mut is_whole = false;
    while !is_whole && sieve.with_status < counted && sieve.looked < LOOK_MAX {
        is_whole = sieve.step(table, &mut index).await?;
    }
    is_whole |= sieve.with_status >= counted;
    sieve.found.reverse();
    sieve.finish(table, window, is_whole, counted).await
}

/// Which part of a list.
#[derive(Clone, Copy)]
struct Window {
    skip: usize,
    size: usize,
}

impl Window {
    fn newest(self, prefix: impl Into<baton_coord::Key>) -> Scan {
        Scan {
            skip: self.skip,
            reverse: true,
            ..Scan::prefix(prefix, self.size)
        }
    }
}

/// Picks open requests by status.
struct Sieve {
    status: TxStatus,
    found: Vec<RequestId>,
    /// Requests move from the inbox to the index while both are read.
    seen: BTreeSet<RequestId>,
    /// Requests with the status, those left out included.
    with_status: u64,
    looked: usize,
}

impl Sieve {
    const fn new(status: TxStatus) -> Self {
        Self {
            status,
            found: Vec::new(),
            seen: BTreeSet::new(),
            with_status: 0,
            looked: 0,
        }
    }

    fn wants(&self, window: Window) -> bool {
        self.found.len() < window.skip + window.size && self.looked < LOOK_MAX
    }

    /// Looks at the next part of the index. True when it was the last.
    async fn step(&mut self, table: LaneTable<'_>, index: &mut Scan) -> Result<bool, TableError> {
        let entries = table.ids_by_value(index).await?;
        let is_last = entries.len() < index.limit;
        if let Some((key, _)) = entries.last() {
            index.after = Some(key.clone());
        }
        let ids = entries.into_iter().map(|(_, id)| id);
        self.look(table, ids).await?;
        Ok(is_last)
    }

    async fn look(
        &mut self,
        table: LaneTable<'_>,
        ids: impl IntoIterator<Item = RequestId>,
    ) -> Result<(), TableError> {
        let look = |record: &RequestRecord| {
            self.looked += 1;
            if record.status != self.status || !self.seen.insert(record.id) {
                return;
            }
            self.with_status += 1;
            if !record.is_canceled {
                self.found.push(record.id);
            }
        };
        table.each(ids, look).await
    }

    /// Reads the records of the window again, so that no more than they were ever held in memory.
    async fn finish(
        self,
        table: LaneTable<'_>,
        window: Window,
        is_whole: bool,
        counted: u64,
    ) -> Result<(Vec<RequestRecord>, u64), TableError> {
        let total = if is_whole {
            self.found.len() as u64
        } else {
            counted
        };
        let ids = self.found.into_iter().skip(window.skip).take(window.size);
        let mut records = table.requests(ids).await?;
        // Some may have moved on since they were picked.
        records.retain(|record| record.status == self.status && !record.is_canceled);
        Ok((records, total))
    }
}
