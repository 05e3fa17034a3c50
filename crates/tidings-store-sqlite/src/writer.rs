//! The one writer: a thread that takes work from three bounded queues and groups it into
//! transactions, so that many small writes share one `fsync`.
//!
//! Work of the accept queue goes first, then recording, then bulk, but no queue is passed over for
//! ever; no transaction takes new work once it is 25 ms old. Each piece of work runs in a savepoint:
//! one that fails undoes only itself. Work that nobody waits for any more is not begun.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tidings_core::store::StoreError;
use tokio::sync::{Semaphore, oneshot};

use crate::database::{DirectoryLock, OpenError};

/// No transaction takes more work once it is this old.
const LONGEST_TRANSACTION: Duration = Duration::from_millis(25);

/// Pieces of work that may wait in each queue; who comes later waits for room.
const QUEUE_CAPACITY: usize = 256;

/// How often a queue lets others go first: who floods one must not stop the others.
const PATIENCE: u32 = 32;

/// The queues, the one that goes first first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Queue {
    /// What a caller waits for: registrations, messages, settings.
    Accept,
    /// What sending waits for: plans, claims, outcomes.
    Record,
    /// What can wait: receipts, imports, housekeeping.
    Bulk,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    something_waits: Condvar,
    room: [Semaphore; 3],
}

#[derive(Default)]
struct Waiting {
    lines: [Line; 3],
    closed: bool,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Box<dyn Job>>,
    /// How often another line went first while somebody waited in this one.
    passed_over: u32,
}

impl Writer {
    pub(crate) fn start(connection: Connection, lock: DirectoryLock) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new());
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                // The lock outlives the connection.
                let _lock = lock;
                let _closing = CloseAtEnd(&for_thread);
                write_until_closed(&for_thread, connection);
            })
            .map_err(|source| OpenError::File {
                path: "thread".into(),
                source,
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Runs `work` in a transaction and returns when that is durable.
    pub(crate) async fn run<T, F>(&self, queue: Queue, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        if let Some(room) = self.shared.room.get(queue as usize) {
            room.acquire().await.map_err(|_| closed())?.forget();
        }
        {
            let mut waiting = self.shared.lock();
            if waiting.closed {
                return Err(closed());
            }
            if let Some(line) = waiting.lines.get_mut(queue as usize) {
                line.jobs.push_back(Box::new(Pending {
                    work: Some(work),
                    result: None,
                    reply,
                }));
            }
        }
        self.shared.something_waits.notify_one();
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    /// Finishes what waits, then closes the database.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.something_waits.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the database's writer ended with a panic");
        }
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            something_waits: Condvar::new(),
            room: std::array::from_fn(|_| Semaphore::new(QUEUE_CAPACITY)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, waiting for one. `None` when closed and empty.
    fn wait(&self) -> Option<Box<dyn Job>> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = self.take_from(&mut waiting) {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self
                .something_waits
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job, if one waits.
    fn take(&self) -> Option<Box<dyn Job>> {
        self.take_from(&mut self.lock())
    }

    /// Everything that waits.
    fn take_all(&self) -> Vec<Box<dyn Job>> {
        let mut waiting = self.lock();
        let mut all = Vec::new();
        for (line, room) in waiting.lines.iter_mut().zip(&self.room) {
            room.add_permits(line.jobs.len());
            line.passed_over = 0;
            all.extend(line.jobs.drain(..));
        }
        all
    }

    fn take_from(&self, waiting: &mut Waiting) -> Option<Box<dyn Job>> {
        loop {
            let job = self.take_first(waiting)?;
            // Nobody would learn that it was done, so it is as well not done.
            if job.is_wanted() {
                return Some(job);
            }
        }
    }

    fn take_first(&self, waiting: &mut Waiting) -> Option<Box<dyn Job>> {
        let somebody_waits = |line: &Line| !line.jobs.is_empty();
        let out_of_patience = |line: &Line| somebody_waits(line) && line.passed_over >= PATIENCE;
        let lines = &mut waiting.lines;
        let turn = lines
            .iter()
            .position(out_of_patience)
            .or_else(|| lines.iter().position(somebody_waits))?;
        let mut taken = None;
        for (index, (line, room)) in lines.iter_mut().zip(&self.room).enumerate() {
            if index == turn {
                taken = line.jobs.pop_front();
                line.passed_over = 0;
                room.add_permits(1);
            } else if somebody_waits(line) {
                line.passed_over += 1;
            }
        }
        taken
    }
}

/// Lets nobody wait for a writer that has ended, be it by a panic.
struct CloseAtEnd<'a>(&'a Shared);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        for room in &self.0.room {
            room.close();
        }
        let mut waiting = self.0.lock();
        waiting.closed = true;
        waiting.lines = Default::default();
    }
}

fn write_until_closed(shared: &Shared, mut connection: Connection) {
    let mut trouble = Trouble::default();
    while let Some(first) = shared.wait() {
        let mut ran = Vec::new();
        let before = connection.total_changes();
        let committed = run_transaction(shared, &mut connection, first, &mut ran);
        let wrote = connection.total_changes() != before;
        match trouble.notice(committed.as_ref().map(|()| wrote)) {
            Some(News::Broken(error)) => tracing::error!(
                error,
                "a transaction failed, and nothing of it was stored; more of the kind are not told \
                 until the database can be written to"
            ),
            Some(News::Mended) => tracing::info!("the database can be written to again"),
            None => {}
        }
        for job in ran {
            job.finish(committed.as_ref().err().map(String::as_str));
        }
    }
}

/// What keeps the database from being written to, so that it is told once.
#[derive(Default)]
struct Trouble {
    cause: Option<String>,
}

#[derive(PartialEq, Eq, Debug)]
enum News<'a> {
    Broken(&'a str),
    Mended,
}

impl Trouble {
    /// What to tell of a transaction's end: why it failed, or whether it wrote. One that wrote nothing
    /// says nothing: a full disk does not stop it.
    fn notice<'a>(&mut self, committed: Result<bool, &'a String>) -> Option<News<'a>> {
        match committed {
            Ok(false) => None,
            Ok(true) => self.cause.take().map(|_| News::Mended),
            Err(cause) if self.cause.as_ref() == Some(cause) => None,
            Err(cause) => {
                self.cause = Some(cause.clone());
                Some(News::Broken(cause))
            }
        }
    }
}

fn run_transaction(
    shared: &Shared,
    connection: &mut Connection,
    first: Box<dyn Job>,
    ran: &mut Vec<Box<dyn Job>>,
) -> Result<(), String> {
    let mut next = Some(first);
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let mut transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) => {
            // All that waits: another process that holds the database does so for a while, and each
            // by itself would wait for it as long again.
            ran.extend(next.take().into_iter().chain(shared.take_all()));
            return Err(error.to_string());
        }
    };
    let started = Instant::now();
    while let Some(mut job) = next.take() {
        let outcome = run_in_savepoint(&mut transaction, job.as_mut());
        ran.push(job);
        outcome?;
        if started.elapsed() < LONGEST_TRANSACTION {
            next = shared.take();
        }
    }
    transaction.commit().map_err(|error| error.to_string())
}

fn run_in_savepoint(
    transaction: &mut rusqlite::Transaction<'_>,
    job: &mut dyn Job,
) -> Result<(), String> {
    let savepoint = transaction.savepoint().map_err(|error| error.to_string())?;
    if job.run(&savepoint) {
        return savepoint.commit().map_err(|error| error.to_string());
    }
    // A full disk undoes the whole transaction, and then there is no savepoint any more to go back
    // to. What matters is why.
    savepoint
        .finish()
        .map_err(|error| job.failure().unwrap_or_else(|| error.to_string()))
}

/// A piece of work whose result type is forgotten.
trait Job: Send {
    /// Whether somebody still waits for its end.
    fn is_wanted(&self) -> bool;

    /// Does the work; whether it succeeded.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Why the work itself failed.
    fn failure(&self) -> Option<String>;

    /// Tells whoever waits, once the transaction is durable or has failed.
    fn finish(self: Box<Self>, failure: Option<&str>);
}

struct Pending<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let result = self.work.take().map(|work| work(connection));
        let succeeded = matches!(result, Some(Ok(_)));
        self.result = result;
        succeeded
    }

    fn failure(&self) -> Option<String> {
        match self.result.as_ref()?.as_ref().err()? {
            StoreError::Unavailable(reason) => Some(reason.to_string()),
            other => Some(other.to_string()),
        }
    }

    fn finish(self: Box<Self>, failure: Option<&str>) {
        let result = match (failure, self.result) {
            (None, Some(result)) => result,
            (Some(error), _) => Err(StoreError::Unavailable(error.into())),
            (None, None) => Err(closed()),
        };
        // Whoever asked may have stopped waiting while it was done.
        let _ = self.reply.send(result);
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;
    use tempfile::TempDir;
    use tidings_core::clock::Timestamp;
    use tokio::task::JoinSet;

    use super::*;
    use crate::database::open_for_writing;

    fn writer() -> (TempDir, Arc<Writer>) {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(0);
        let (lock, connection) = open_for_writing(directory.path(), now).unwrap();
        (
            directory,
            Arc::new(Writer::start(connection, lock).unwrap()),
        )
    }

    #[tokio::test]
    async fn a_flood_in_one_queue_stops_no_other() {
        let (_directory, writer) = writer();
        let (done, order) = mpsc::channel();
        let (go_on, held) = mpsc::channel::<()>();
        let mut running = JoinSet::new();
        let mut run = |queue, work: Box<dyn FnOnce() + Send>| {
            let writer = Arc::clone(&writer);
            running.spawn(async move {
                let work = move |_: &Connection| {
                    work();
                    Ok(())
                };
                writer.run(queue, work).await.unwrap();
            });
        };
        run(Queue::Accept, Box::new(move || held.recv().unwrap()));
        let flood = (0..200).map(|_| (Queue::Accept, "flood"));
        let others = [(Queue::Record, "record"), (Queue::Bulk, "bulk")];
        for (queue, name) in flood.chain(others) {
            let done = done.clone();
            run(queue, Box::new(move || done.send(name).unwrap()));
        }
        let waiting = || -> usize {
            let waiting = writer.shared.lock();
            waiting.lines.iter().map(|line| line.jobs.len()).sum()
        };
        while waiting() < 202 {
            tokio::task::yield_now().await;
        }
        go_on.send(()).unwrap();
        running.join_all().await;
        let order: Vec<_> = order.try_iter().collect();
        assert_eq!(order.len(), 202);
        for name in ["record", "bulk"] {
            let place = order.iter().position(|done| *done == name).unwrap();
            assert!(
                place <= 2 * PATIENCE as usize + 2,
                "{name} came at place {place}"
            );
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let (_directory, writer) = writer();
        let (go_on, held) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let hold = move |_: &Connection| {
            begun.send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        };
        let mut holding = Box::pin(writer.run(Queue::Accept, hold));
        let mut given_up = Box::pin(keep(&writer, "given up".to_owned(), 10));
        let mut wanted = Box::pin(keep(&writer, "wanted".to_owned(), 10));
        assert!((&mut holding).now_or_never().is_none());
        has_begun.await.unwrap();
        assert!((&mut given_up).now_or_never().is_none());
        assert!((&mut wanted).now_or_never().is_none());
        drop(given_up);
        go_on.send(()).unwrap();
        holding.await.unwrap();
        wanted.await.unwrap();
        assert_eq!(kept(&writer).await, ["wanted"]);
    }

    #[test]
    fn who_waits_behind_a_locked_database_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(0);
        let (_lock, mut connection) = open_for_writing(directory.path(), now).unwrap();
        connection.pragma_update(None, "busy_timeout", 0).unwrap();
        let other = Connection::open(crate::database::file_in(directory.path())).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let shared = Shared::new();
        let mut answers = Vec::new();
        for n in 0..9 {
            let (reply, answer) = oneshot::channel();
            let job = Pending {
                work: Some(|_: &Connection| Ok(())),
                result: None,
                reply,
            };
            shared.lock().lines[n % 3].jobs.push_back(Box::new(job));
            answers.push(answer);
        }
        let first = shared.take().unwrap();
        let mut ran = Vec::new();
        let failed = run_transaction(&shared, &mut connection, first, &mut ran).unwrap_err();
        assert_eq!(ran.len(), 9);
        assert!(shared.take().is_none());
        for room in &shared.room {
            assert_eq!(
                room.available_permits(),
                QUEUE_CAPACITY + 3,
                "as much as waited"
            );
        }
        for job in ran {
            job.finish(Some(&failed));
        }
        for answer in answers {
            let error = answer.blocking_recv().unwrap().unwrap_err();
            assert!(error.is_transient(), "{error}");
        }
    }

    #[test]
    fn trouble_is_told_once_until_it_is_over() {
        let (locked, full) = ("locked".to_owned(), "full".to_owned());
        let mut trouble = Trouble::default();
        for (end, news) in [
            (Ok(true), None),
            (Err(&locked), Some(News::Broken("locked"))),
            (Err(&locked), None),
            (Ok(false), None),
            (Err(&locked), None),
            (Err(&full), Some(News::Broken("full"))),
            (Ok(true), Some(News::Mended)),
            (Ok(true), None),
            (Err(&full), Some(News::Broken("full"))),
        ] {
            assert_eq!(trouble.notice(end), news);
        }
    }

    async fn keep(writer: &Writer, name: String, octets: usize) -> Result<(), StoreError> {
        let keep = move |connection: &Connection| {
            let sql = "INSERT INTO secrets (name, sealed) VALUES (?1, zeroblob(?2))";
            connection
                .execute(sql, (name, octets))
                .map(drop)
                .map_err(crate::database::refused)
        };
        writer.run(Queue::Record, keep).await
    }

    async fn kept(writer: &Writer) -> Vec<String> {
        let kept = |connection: &Connection| {
            let mut names = connection
                .prepare("SELECT name FROM secrets ORDER BY name")
                .unwrap();
            let rows = names.query_map((), |row| row.get(0)).unwrap();
            Ok(rows.map(Result::unwrap).collect())
        };
        writer.run(Queue::Accept, kept).await.unwrap()
    }

    async fn set(writer: &Writer, pragma: &'static str, value: i64) {
        let set = move |connection: &Connection| {
            let set = connection.pragma_update(None, pragma, value);
            set.map_err(crate::database::refused)
        };
        writer.run(Queue::Accept, set).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_loses_nothing_and_is_transient() {
        let (_directory, writer) = writer();
        keep(&writer, "before".to_owned(), 10).await.unwrap();
        // As if the disk had room for nothing more than what there is.
        set(&writer, "max_page_count", 1).await;
        let together = (0..20).map(|n| {
            let writer = Arc::clone(&writer);
            async move { keep(&writer, format!("large {n:02}"), 100_000).await }
        });
        let results = together.collect::<JoinSet<_>>().join_all().await;
        for result in results {
            let error = result.unwrap_err();
            assert!(error.is_transient(), "{error}");
            assert!(error.to_string().contains("full"), "{error}");
        }
        assert_eq!(kept(&writer).await, ["before"]);
        set(&writer, "max_page_count", 1_000_000).await;
        keep(&writer, "after".to_owned(), 100_000).await.unwrap();
        assert_eq!(kept(&writer).await, ["after", "before"]);
    }

    #[tokio::test]
    async fn a_database_that_another_process_locks_is_transient() {
        let (directory, writer) = writer();
        set(&writer, "busy_timeout", 0).await;
        let other = Connection::open(crate::database::file_in(directory.path())).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..3 {
            let error = keep(&writer, "locked".to_owned(), 10).await.unwrap_err();
            assert!(error.is_transient(), "{error}");
        }
        other.execute_batch("ROLLBACK").unwrap();
        keep(&writer, "after".to_owned(), 10).await.unwrap();
        assert_eq!(kept(&writer).await, ["after"]);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_writer_that_has_ended() {
        let (_directory, writer) = writer();
        let panicked = writer.run(Queue::Bulk, |_| -> Result<(), _> { panic!("a defect") });
        assert!(panicked.await.is_err());
        let after = writer.run(Queue::Accept, |_| Ok(()));
        let after = tokio::time::timeout(Duration::from_secs(10), after).await;
        assert!(
            matches!(after, Ok(Err(StoreError::Unavailable(_)))),
            "{after:?}"
        );
    }
}
