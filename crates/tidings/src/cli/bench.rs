//! `tidings bench` on the command line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};
use tidings_sandbox::Personality;

/// How many virtual subscribers one run may have.
const MAX_SUBSCRIBERS: i64 = 5_000_000;

pub(crate) const BENCH_HELP: &str = "\
What is measured:
  sending           messages a second, from the 202 to the last outcome in the database
  processor time    of the server's process alone, for each message
  memory            the server's high-water mark, after the import and at the end
  database          octets a subscription on disk, once the server has ended
  import            subscriptions a second through POST /v1/subscriptions/import
  planning          from the 202 until the whole audience is cut into batches
  first POST        from the 202 until the push service has it
  direct messages   sent evenly over a second broadcast: from the request to the POST

The figures count only if server and push service agree that everybody got the message exactly
once. If they do not, or if the push service was what limited it, the command says that they are
worth nothing, and ends with status 1.

Let nothing else run meanwhile, and use a release build. Throughput is limited by one core, so
compare processor time between machines, and messages a second on one.

Examples:
  tidings bench --subscribers 10000 --direct 50
  tidings bench --subscribers 1000000 --data-dir /srv/on-a-real-disk --json > figures.json";

/// What is sent to whom, and on which cores.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Virtual subscribers that get the message (1 to 5 000 000)
    #[arg(long, default_value_t = 100_000, value_name = "N",
          value_parser = value_parser!(u32).range(1..=MAX_SUBSCRIBERS))]
    pub(crate) subscribers: u32,

    /// Length of the plaintext in octets (32 to 3993)
    #[arg(long, default_value_t = 200, value_name = "OCTETS",
          value_parser = value_parser!(u32).range(32..=3993))]
    pub(crate) payload: u32,

    /// By how much the push service delays each answer, in milliseconds (0 to 10 000)
    #[arg(long, default_value_t = 50, value_name = "MS",
          value_parser = value_parser!(u32).range(0..=10_000))]
    pub(crate) latency: u32,

    /// Messages to single subscribers, sent evenly over a second broadcast; 0: no second one (at
    /// most 100 000)
    #[arg(long, default_value_t = 500, value_name = "N",
          value_parser = value_parser!(u32).range(0..=100_000))]
    pub(crate) direct: u32,

    /// The push services that the subscribers are spread over: fcm, mozilla, apple, wns or plain
    /// (RFC 8030)
    #[arg(
        long,
        default_value = "fcm",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub(crate) services: Vec<Personality>,

    /// Send once more, with as many subscribers again at another push service that fails, and tell
    /// what became of the throughput to those above
    #[arg(long, value_name = "HOW")]
    pub(crate) other_service: Option<OtherService>,

    /// Of the virtual subscribers one in N decrypts what it gets
    #[arg(long, default_value = "100", value_name = "N")]
    pub(crate) decrypt_one_in: NonZeroU32,

    /// Where the server keeps its data: a new folder is made in this one, and removed in the end
    #[arg(long, default_value = "/var/tmp", value_name = "FOLDER")]
    pub(crate) data_dir: PathBuf,

    /// The core that the server has to itself [default: the second one, if there is one]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) server_core: Option<usize>,

    /// The core of the push service, and of this command [default: the first one, if there are two]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) sandbox_core: Option<usize>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the other push service fails.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherService {
    /// It refuses connections
    Down,
    /// It answers 429 to everything, with `Retry-After: 30`
    #[value(name = "429")]
    TooManyRequests,
}

impl OtherService {
    /// Its name on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::TooManyRequests => "429",
        }
    }
}
