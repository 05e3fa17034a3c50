use std::sync::Arc;

use tidings_core::application::{ApplicationId, ApplicationName};
use tidings_core::store::Store;

/// How the suite gets at one backend. Dropping it throws the store away.
pub trait Harness: Sized {
    /// A fresh, empty store that nobody else uses.
    fn new() -> impl Future<Output = Self>;

    /// The store as it is open now. Cases hold no copy across [`Self::reopen`].
    fn store(&self) -> Arc<dyn Store>;

    /// Makes all claims on batches lapse: on SQLite the process starts anew, on PostgreSQL their
    /// time runs out.
    fn lose_leases(&mut self) -> impl Future<Output = ()>;

    /// Closes the store and opens it again on what it had kept.
    fn reopen(&mut self) -> impl Future<Output = ()>;

    /// Adds an application, which no method of a store does yet.
    fn add_application(&mut self, name: &ApplicationName) -> impl Future<Output = ApplicationId>;
}
