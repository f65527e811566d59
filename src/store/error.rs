//! What can go wrong in the store, as far as callers must tell it apart.

use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// More writes are waiting than the queue holds. Nothing was written; try again shortly.
    #[error("the write queue is full")]
    Busy,
    /// The database did not answer or did not take the write durably. Nothing was acknowledged.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row does not mean what it should: a bug or a damaged file.
    #[error("the stored data is damaged: {0}")]
    Damaged(String),
    /// The database belongs to a newer version, or migrating it failed.
    #[error("{0}")]
    Migration(String),
}

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
