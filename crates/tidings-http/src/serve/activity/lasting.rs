//! Requests that may take longer than a connection is used.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::Activity;

/// Leave to take long: each request brings it in its extensions. Who uses it has to know the caller,
/// and to see to it that nothing stands still.
#[derive(Clone)]
pub(crate) struct MayLast(Activity);

/// Somebody works on a long request until this is dropped.
struct AtWork(Activity);

impl MayLast {
    pub(super) fn new(activity: Activity) -> Self {
        Self(activity)
    }

    /// The same answer; the connection stays until it was made, and as long as it is being taken.
    pub(crate) async fn answer(self, answering: impl Future<Output = Response>) -> Response {
        let at_work = self.begin();
        let answer = answering.await;
        drop(at_work);
        answer.map(|body| {
            Body::new(LongBody {
                body,
                leave: self,
                at_work: None,
            })
        })
    }

    fn begin(&self) -> AtWork {
        self.0.lock().long += 1;
        AtWork(self.0.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        requests.long = requests.long.saturating_sub(1);
        requests.long_last = Some(Instant::now());
    }
}

/// A long answer. While it is the other side's turn to take what there is, nobody works on it: over
/// HTTP/2 one who takes nothing but answers pings would stay for ever.
struct LongBody {
    body: Body,
    leave: MayLast,
    at_work: Option<AtWork>,
}

impl HttpBody for LongBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let at_work = self.at_work.take();
        let at_work = at_work.unwrap_or_else(|| self.leave.begin());
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_pending() {
            self.at_work = Some(at_work);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;

    const AGE: Duration = Duration::from_secs(1);
    const LAST_WORDS: Duration = Duration::from_mins(1);

    /// How long a connection stays that is used for this.
    async fn stays(using: impl AsyncFnOnce(&Activity)) -> Duration {
        let activity = Activity::new();
        let made = Instant::now();
        let ended = activity.has_said_last(made + AGE, LAST_WORDS);
        tokio::pin!(ended);
        let used = async {
            using(&activity).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = used => {}
            () = &mut ended => {}
        }
        made.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_request_is_waited_for() {
        let slow = Duration::from_mins(100);
        let stayed = stays(async |activity| {
            let leave = activity.may_last().unwrap();
            leave
                .answer(async {
                    sleep(slow).await;
                    Response::default()
                })
                .await;
        })
        .await;
        assert_eq!(stayed, slow + LAST_WORDS);
        let stayed = stays(async |activity| {
            sleep(slow).await;
            drop(activity.begin());
        })
        .await;
        assert_eq!(stayed, AGE + LAST_WORDS, "another one is not");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_answer_is_waited_for_while_it_is_taken() {
        let stayed = stays(async |activity| {
            let pieces = stream::unfold(0, async |count| {
                sleep(LAST_WORDS * 2).await;
                Some((Ok::<_, axum::Error>("piece"), count + 1))
            });
            let answer = Response::new(Body::from_stream(pieces));
            let leave = activity.may_last().unwrap();
            let mut body = leave.answer(async { answer }).await.into_body();
            for _ in 0..3 {
                body.frame().await.unwrap().unwrap();
                sleep(LAST_WORDS / 2).await;
            }
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(stayed, LAST_WORDS * (3 * 2 + 2 / 2 + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_to_an_old_connection_may_not_take_long() {
        let activity = Activity::new();
        assert!(activity.may_last().is_some());
        activity.gets_old();
        assert!(activity.may_last().is_none());
    }
}
