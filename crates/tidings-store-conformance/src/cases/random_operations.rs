//! Random sequences of operations on batches, against a model of what must come of them.

mod model;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Handle;

use crate::cases::random_operations::model::{Checked, Kind};
use crate::harness::Harness;
use crate::world::World;

/// Something a worker does, or that happens to it. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Operation {
    /// Claims the next due batch.
    Claim,
    /// Loads the members of a batch whose turn it is.
    Load { batch: usize },
    /// Records outcomes under the batch's current lease, or under none.
    Record {
        batch: usize,
        outcomes: Vec<(usize, Kind)>,
    },
    /// Records outcomes under a lease that the batch had before.
    RecordLate {
        batch: usize,
        outcomes: Vec<(usize, Kind)>,
    },
    /// Ends the pass over a batch.
    Finish { batch: usize },
    /// Gives a claim back.
    Release { batch: usize },
    /// Asks whether a claim holds.
    Renew { batch: usize },
    /// All claims lapse.
    LoseLeases,
    /// Time passes.
    Wait { seconds: u64 },
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => proptest::sample::select(Kind::FINAL.as_slice()),
        3 => (0..30_u64).prop_map(|seconds| Kind::RetryIn(Duration::from_secs(seconds))),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let batch = || any::<usize>();
    let outcomes = || vec((any::<usize>(), kind()), 0..5);
    prop_oneof![
        6 => proptest::strategy::Just(Operation::Claim),
        4 => batch().prop_map(|batch| Operation::Load { batch }),
        12 => (batch(), outcomes())
            .prop_map(|(batch, outcomes)| Operation::Record { batch, outcomes }),
        2 => (batch(), outcomes())
            .prop_map(|(batch, outcomes)| Operation::RecordLate { batch, outcomes }),
        5 => batch().prop_map(|batch| Operation::Finish { batch }),
        2 => batch().prop_map(|batch| Operation::Release { batch }),
        1 => batch().prop_map(|batch| Operation::Renew { batch }),
        1 => proptest::strategy::Just(Operation::LoseLeases),
        5 => (1..20_u64).prop_map(|seconds| Operation::Wait { seconds }),
    ]
}

pub(crate) async fn the_store_agrees_with_the_model<H: Harness>(world: World<H>) {
    // Each sequence has a store of its own.
    drop(world);
    // The same sequences in every run: a failure is never somebody else's luck. `PROPTEST_CASES`
    // asks for more of them.
    let cases = std::env::var("PROPTEST_CASES").map_or(24, |_| Config::default().cases);
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let result = tokio::task::block_in_place(|| {
        runner.run(&vec(operation(), 1..60), |operations| {
            Handle::current().block_on(agrees::<H>(operations));
            Ok(())
        })
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

async fn agrees<H: Harness>(operations: Vec<Operation>) {
    let mut checked = Checked::<H>::new().await;
    for operation in operations {
        match operation {
            Operation::Claim => checked.claim().await,
            Operation::Load { batch } => checked.load(batch).await,
            Operation::Record { batch, outcomes } => checked.record(batch, &outcomes).await,
            Operation::RecordLate { batch, outcomes } => {
                checked.record_late(batch, &outcomes).await;
            }
            Operation::Finish { batch } => checked.finish(batch).await,
            Operation::Release { batch } => checked.release(batch).await,
            Operation::Renew { batch } => checked.renew(batch).await,
            Operation::LoseLeases => checked.lose_leases().await,
            Operation::Wait { seconds } => checked.wait(Duration::from_secs(seconds)),
        }
        checked.compare_counts().await;
    }
    checked.run_to_the_end().await;
}
