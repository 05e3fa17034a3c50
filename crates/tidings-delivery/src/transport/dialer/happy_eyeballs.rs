//! Several addresses, of which some may be silent: RFC 8305 in its simple form.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// How long an address may be silent before the next one is tried beside it.
///
/// Spec: RFC 8305 §5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// What the first address that answers answers. The others are given up.
pub(super) async fn first_of<T, F>(
    addresses: Vec<IpAddr>,
    connect: impl Fn(IpAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut left = by_turns(addresses);
    left.truncate(MAX_ADDRESSES);
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "there is no address to try");
    loop {
        if let Some(next) = left.pop_front() {
            attempts.push(connect(next));
        }
        let ended = tokio::select! {
            biased;
            ended = attempts.next() => ended,
            () = sleep(HEAD_START), if !left.is_empty() => continue,
        };
        match ended {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) => failure = error,
            None => return Err(failure),
        }
    }
}

/// The families in turn, beginning with that of the first address: where one does not work at all,
/// the other one comes second.
fn by_turns(addresses: Vec<IpAddr>) -> VecDeque<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut turns = VecDeque::new();
    for address in first {
        turns.push_back(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_quarter_of_a_second() {
        let silent = address("192.0.2.1");
        let began = Instant::now();
        let connect = |to| async move {
            if to == silent {
                std::future::pending().await
            } else {
                Ok(to)
            }
        };
        let other = address("192.0.2.2");
        let connected = first_of(vec![silent, other], connect).await.unwrap();
        assert_eq!((connected, began.elapsed()), (other, HEAD_START));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_still_wins_over_a_silent_one() {
        let (slow, silent) = (address("192.0.2.1"), address("192.0.2.2"));
        let connect = |to| async move {
            if to == silent {
                return std::future::pending().await;
            }
            sleep(Duration::from_secs(2)).await;
            Ok(to)
        };
        let connected = first_of(vec![slow, silent], connect).await;
        assert_eq!(connected.unwrap(), slow);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_nothing_and_the_last_failure_is_told() {
        let began = Instant::now();
        let good = address("192.0.2.3");
        let refuse = |to: IpAddr| async move {
            if to == good {
                return Ok(to);
            }
            Err(io::Error::other(to.to_string()))
        };
        let bad = [address("192.0.2.1"), address("192.0.2.2")];
        let connected = first_of(vec![bad[0], bad[1], good], refuse).await;
        assert_eq!(connected.unwrap(), good);
        let failed = first_of(bad.to_vec(), refuse).await.unwrap_err();
        assert_eq!(failed.to_string(), "192.0.2.2");
        assert!(first_of(Vec::new(), refuse).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[test]
    fn families_take_turns() {
        let texts = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::3"];
        let turns = by_turns(texts.into_iter().map(address).collect());
        let turned = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"];
        assert!(turns.into_iter().eq(turned.into_iter().map(address)));
    }
}
