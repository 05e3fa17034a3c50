//! Ends a connection that nobody wants any more, whatever its peer does: one that reads nothing keeps
//! what is to be written to it, and a good-bye behind it, for as long as it likes.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

/// How long a connection that nobody wants any more may take to say good-bye.
pub(super) const GOOD_BYE: Duration = Duration::from_secs(5);

/// Kept by those who want a connection.
pub(super) struct Wanted {
    /// Nothing is ever sent: it is dropped.
    _until: oneshot::Sender<Infallible>,
}

/// Kept by the task that runs the connection.
pub(super) struct WhileWanted(oneshot::Receiver<Infallible>);

pub(super) fn wanted() -> (Wanted, WhileWanted) {
    let (until, dropped) = oneshot::channel();
    (Wanted { _until: until }, WhileWanted(dropped))
}

impl WhileWanted {
    /// Runs a connection until it ends, or until it has had its time to. `None` if it did not.
    pub(super) async fn run<T>(self, connection: impl Future<Output = T>) -> Option<T> {
        let unwanted = async {
            let _ = self.0.await;
            sleep(GOOD_BYE).await;
        };
        tokio::select! {
            biased;
            ended = connection => Some(ended),
            () = unwanted => None,
        }
    }
}
