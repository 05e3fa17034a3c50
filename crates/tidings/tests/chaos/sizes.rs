//! How large a run is.

use std::{env, str::FromStr, time::Duration};

use anyhow::{Result, anyhow};

/// What the environment says, or what a run of the tests takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// `TIDINGS_CHAOS_SUBSCRIBERS`: who gets the broadcast.
    pub(crate) subscribers: usize,
    /// `TIDINGS_CHAOS_KILLS`: how often the server is killed.
    pub(crate) kills: usize,
    /// `TIDINGS_CHAOS_SEED`: which POSTs meet which fault, and when the server is killed.
    pub(crate) seed: u64,
    /// `TIDINGS_CHAOS_OUTAGE_SECONDS`: how long a push service is out of order at least.
    pub(crate) outage: Duration,
    /// `TIDINGS_CHAOS_DECRYPT_ONE_IN`: of the user agents, one in so many decrypts.
    pub(crate) decrypt_one_in: usize,
    /// `TIDINGS_CHAOS_RESTART_SECONDS`: by when a server that was started again must send. Without
    /// it there is no such limit: what else the machine does is not known.
    pub(crate) restart: Option<Duration>,
}

impl Sizes {
    pub(crate) fn from_environment() -> Result<Self> {
        Ok(Self {
            subscribers: read("TIDINGS_CHAOS_SUBSCRIBERS", 4_000)?,
            kills: read("TIDINGS_CHAOS_KILLS", 3)?,
            seed: read("TIDINGS_CHAOS_SEED", 1)?,
            outage: Duration::from_secs(read("TIDINGS_CHAOS_OUTAGE_SECONDS", 2)?),
            decrypt_one_in: read("TIDINGS_CHAOS_DECRYPT_ONE_IN", 1)?,
            restart: match read("TIDINGS_CHAOS_RESTART_SECONDS", 0)? {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
        })
    }

    /// Whether times mean something: nothing else runs here, and there are enough subscribers.
    pub(crate) fn times_count(&self) -> bool {
        self.restart.is_some()
    }

    /// At how many messages taken in by the push services the server is killed, in their order.
    pub(crate) fn kill_points(&self) -> Vec<usize> {
        let mut state = self.seed;
        let most = self.subscribers * 9 / 10;
        let draws = (0..self.kills).map(|_| draw(&mut state, most));
        let mut points: Vec<_> = draws.collect();
        points.sort_unstable();
        points
    }
}

/// A number below `most`: splitmix64, of which nothing is asked but that it looks random.
fn draw(state: &mut u64, most: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    usize::try_from(mixed % (most.max(1) as u64)).unwrap_or_default()
}

fn read<T: FromStr>(name: &str, default: T) -> Result<T> {
    let Some(text) = env::var_os(name) else {
        return Ok(default);
    };
    let text = text.to_string_lossy();
    text.parse()
        .map_err(|_| anyhow!("{name} must be a number, not {text:?}"))
}
