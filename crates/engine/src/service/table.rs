//! Reading a lane's records.

use baton_coord::{Entry, Key, LogEntry, Scan, StoreError};
use baton_lanes::record::{
    self, InboxRecord, Record, RecordError, RequestRecord, SummaryRecord, key,
};
use baton_model::{LaneId, RequestId};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

use crate::SharedStore;

/// Records read at a time for one call: hides the round trips of a remote store without letting one
/// call crowd out the others.
const CONCURRENT: usize = 32;

/// Most bytes of transaction data in one answer: a thousand transactions of 8 KiB each. A thousand
/// of the largest would be a quarter of a gigabyte of JSON.
const ANSWER_DATA_MAX: usize = 8 * 1024 * 1024;

/// Why records could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value is not a record.
    #[error("{key}: {source}")]
    Record {
        /// The key.
        key: String,
        /// What is wrong with it.
        source: RecordError,
    },
    /// Together the records are too much for one answer.
    #[error(
        "the page has more than {ANSWER_DATA_MAX} bytes of transaction data; ask for a smaller \
         per_page"
    )]
    TooMuch,
    /// An index holds something else than an id.
    #[error("{key}: the index entry names no request")]
    Index {
        /// The key.
        key: String,
    },
}

/// A lane's records, as far as the service reads them.
#[derive(Clone, Copy)]
pub(super) struct LaneTable<'a> {
    pub(super) store: &'a SharedStore,
    pub(super) lane: &'a LaneId,
}

impl LaneTable<'_> {
    /// The record of a key, if there is one.
    pub(super) async fn get<T: Record>(self, key: String) -> Result<Option<T>, TableError> {
        let name = Key::from(key.clone());
        match self.store.get(self.lane, &name).await? {
            Some(entry) => read(&entry.value, || key).map(Some),
            None => Ok(None),
        }
    }

    /// A request.
    pub(super) async fn request(self, id: RequestId) -> Result<Option<RequestRecord>, TableError> {
        self.get(key::request(id)).await
    }

    /// Requests in the order of their ids; those that are gone are left out.
    ///
    /// # Errors
    /// [`TableError::TooMuch`] when together they are too much for one answer.
    pub(super) async fn requests(
        self,
        ids: impl IntoIterator<Item = RequestId>,
    ) -> Result<Vec<RequestRecord>, TableError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut records = self.stream(ids);
        while let Some(record) = records.try_next().await? {
            bytes += record.spec.call.data.len();
            if bytes > ANSWER_DATA_MAX {
                return Err(TableError::TooMuch);
            }
            found.push(record);
        }
        Ok(found)
    }

    /// Looks at requests in the order of their ids, holding few of them in memory.
    pub(super) async fn each(
        self,
        ids: impl IntoIterator<Item = RequestId>,
        mut look: impl FnMut(&RequestRecord),
    ) -> Result<(), TableError> {
        let mut records = self.stream(ids);
        while let Some(record) = records.try_next().await? {
            look(&record);
        }
        Ok(())
    }

    fn stream(
        self,
        ids: impl IntoIterator<Item = RequestId>,
    ) -> impl Stream<Item = Result<RequestRecord, TableError>> + Unpin {
        let read = stream::iter(ids).map(move |id| self.request(id));
        let found = read.buffered(CONCURRENT);
        Box::pin(found.try_filter_map(async |record| Ok(record)))
    }

    /// The lane's summary; an empty one before the lane ran for the first time.
    pub(super) async fn summary(self) -> Result<SummaryRecord, TableError> {
        let summary = self.get(key::SUMMARY.to_owned()).await?;
        Ok(summary.unwrap_or_default())
    }

    /// Ids from the keys of an index.
    pub(super) async fn ids_by_key(self, scan: &Scan) -> Result<Vec<RequestId>, TableError> {
        let entries = self.store.scan(self.lane, scan).await?;
        entries.iter().map(id_of_key).collect()
    }

    /// Keys and ids from the values of an index.
    pub(super) async fn ids_by_value(
        self,
        scan: &Scan,
    ) -> Result<Vec<(Key, RequestId)>, TableError> {
        let entries = self.store.scan(self.lane, scan).await?;
        entries
            .into_iter()
            .map(|entry| Ok((entry.key.clone(), id_of_value(&entry)?)))
            .collect()
    }

    /// The id that a key's value holds.
    pub(super) async fn id_at(self, key: String) -> Result<Option<RequestId>, TableError> {
        let entry = self.store.get(self.lane, &Key::from(key)).await?;
        entry.as_ref().map(id_of_value).transpose()
    }
}

/// The requests that some inbox entries accept, in their order.
pub(super) fn accepts(entries: &[LogEntry]) -> Result<Vec<RequestId>, TableError> {
    let mut accepted = Vec::new();
    for entry in entries {
        let name = || format!("inbox/{}", entry.position.0);
        match read::<InboxRecord>(&entry.value, name)? {
            InboxRecord::Accept { id } => accepted.push(id),
            InboxRecord::Cancel { .. } | InboxRecord::Replace { .. } => {}
        }
    }
    Ok(accepted)
}

fn read<T: Record>(bytes: &[u8], key: impl FnOnce() -> String) -> Result<T, TableError> {
    record::decode(bytes).map_err(|source| TableError::Record { key: key(), source })
}

fn id_of_key(entry: &Entry) -> Result<RequestId, TableError> {
    key::id_of(&entry.key).ok_or_else(|| no_id(&entry.key))
}

fn id_of_value(entry: &Entry) -> Result<RequestId, TableError> {
    let text = std::str::from_utf8(&entry.value).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| no_id(&entry.key))
}

fn no_id(key: &Key) -> TableError {
    TableError::Index {
        key: key.escape_ascii().to_string(),
    }
}
