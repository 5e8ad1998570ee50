//! The embedded, durable store: a whole node with no other process.
//!
//! One directory, one process, one thread that writes. Batches that wait together are written and
//! flushed together, and each is answered after the flush. Reads see exactly the groups that were
//! flushed.

mod answers;
mod clock;
mod directory;
mod error;
mod keys;
mod lanes;
mod pace;
mod read;
mod record;
mod store;
mod torn;
mod watermark;
mod writer;

pub use clock::SystemClock;
pub use error::OpenError;
pub use store::{LocalStore, Options};
