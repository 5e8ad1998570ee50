//! What only the operator's tools ask of a store.

use async_trait::async_trait;
use baton_model::LaneId;

use crate::StoreError;

/// Lists the lanes of a store.
#[async_trait]
pub trait Admin: Send + Sync {
    /// Up to `limit` (1 to [`crate::SCAN_LIMIT_MAX`]) lanes that were ever leased or written to, in
    /// the order of their names' bytes, beyond `after`.
    async fn lanes(&self, after: Option<&LaneId>, limit: usize) -> Result<Vec<LaneId>, StoreError>;
}
