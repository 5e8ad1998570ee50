//! Stored records: what is written can be read, today and by the releases to come.

mod arbitrary;
mod damaged;
mod golden;

use baton_lanes::record::{
    AccountRecord, IdempotencyRecord, InboxRecord, Record, RequestRecord, SlotRecord,
    SummaryRecord, decode, encode,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use arbitrary::{addresses, ids, numbers, requests, slots, specs, texts, times};

fn returns<T: Record + PartialEq + std::fmt::Debug>(record: &T) -> Result<(), TestCaseError> {
    let read = decode::<T>(&encode(record));
    prop_assert_eq!(read.as_ref(), Ok(record));
    Ok(())
}

proptest! {
    #[test]
    fn requests_return(record in requests()) {
        returns(&record)?;
    }

    #[test]
    fn slots_return(record in slots()) {
        returns(&record)?;
    }

    #[test]
    fn accounts_return(next_nonce in numbers(), settled in numbers()) {
        returns(&AccountRecord { next_nonce, settled })?;
    }

    #[test]
    fn summaries_return(
        inbox in numbers(), counts in any::<[u64; 8]>(), last in option::of(times()),
        accounts in vec((addresses(), numbers()), 0..4), alarms in vec(texts(), 0..4),
    ) {
        returns(&SummaryRecord { chain_id: Some(inbox), inbox, counts, last_confirmed_at: last, accounts, alarms })?;
    }

    #[test]
    fn inbox_entries_return(id in ids(), command in ids(), spec in specs()) {
        returns(&InboxRecord::Accept { id })?;
        returns(&InboxRecord::Cancel { id, command })?;
        returns(&InboxRecord::Replace { id, command, spec })?;
    }

    #[test]
    fn idempotency_keys_return(id in ids(), body in texts()) {
        returns(&IdempotencyRecord { id, body })?;
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(decode::<SlotRecord>(&bytes).is_err());
        prop_assert!(decode::<RequestRecord>(&bytes).is_err());
    }
}
