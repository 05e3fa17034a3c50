//! A few read-only connections. WAL lets them read while the writer writes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tidings_core::store::StoreError;
use tokio::sync::Semaphore;

use crate::database::{OpenError, open_for_reading};

const CONNECTIONS: usize = 4;

pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    directory: Arc<Path>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(directory: &Path) -> Result<Self, OpenError> {
        let idle = (0..CONNECTIONS)
            .map(|_| open_for_reading(directory))
            .collect::<Result<Vec<_>, _>>()?;
        let permits = Arc::new(Semaphore::new(idle.len()));
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
            directory: directory.into(),
            permits,
        })
    }

    /// Runs `work` on an idle connection, on a thread that may block. What it reads is at least as
    /// new as every write that was answered before.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let closed = || StoreError::Unavailable("the database is closed".into());
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        let directory = Arc::clone(&self.directory);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match connection {
                Some(connection) => connection,
                // One was lost to a panic: there are as many permits as connections.
                None => open_for_reading(&directory)
                    .map_err(|error| StoreError::Unavailable(Box::new(error)))?,
            };
            let result = work(&connection);
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            result
        });
        task.await.map_err(|error| {
            let is_panic = error.is_panic();
            let error = Box::new(error);
            // A defect: whoever insists would ask without end.
            if is_panic {
                StoreError::Refused(error)
            } else {
                StoreError::Unavailable(error)
            }
        })?
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::clock::Timestamp;

    use super::*;
    use crate::database::open_for_writing;

    #[tokio::test]
    async fn a_connection_lost_to_a_panic_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let _writer = open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let readers = Readers::open(directory.path()).unwrap();
        for _ in 0..2 * CONNECTIONS {
            let panicked = readers.run(|_| -> Result<(), _> { panic!("a defect") });
            assert!(matches!(panicked.await, Err(StoreError::Refused(_))));
        }
        let read = readers.run(|connection| {
            let sql = "SELECT count(*) FROM applications";
            connection
                .query_row(sql, (), |row| row.get::<_, i64>(0))
                .map_err(crate::database::refused)
        });
        assert_eq!(read.await.unwrap(), 1);
    }
}
