//! The real store, which fails where a test says so, and remembers when it was called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidings_core::application::ApplicationId;
use tidings_core::batch::{Batch, BatchId, Lease, LeasedBatch, Position, Seq};
use tidings_core::clock::{Clock as _, Timestamp};
use tidings_core::delivery::Outcome;
use tidings_core::id::{MessageId, VapidKeyId};
use tidings_core::message::{MessageRecord, MessageToSend, NewMessage, Plan};
use tidings_core::store::{
    Accepted, AudienceMember, BatchStore, Claim, DueGroup, IdempotencyKey, KeptToken,
    LoadedMembers, MessageStore, NewVapidKey, Page, PageRequest, PassEnd, PassTimes, PlanRound,
    PlannedStep, Recorded, Store, StoreError, SuspectedWave, VapidKeyStore,
};
use tidings_core::subscription::PushServiceGroup;
use tidings_core::vapid_key::{VapidKeyRecord, VapidKeyState};
use tidings_webpush::VapidKey;
use tokio::sync::watch;

use crate::rig::RuntimeClock;

/// How a method of the store fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// As if the disk were full: the same call may succeed later.
    Unavailable,
    /// As if this were damaged: the same call never succeeds.
    Refuses(&'static str),
    /// It does not return.
    Hangs,
}

/// When a method was called.
type Calls = HashMap<&'static str, Vec<Timestamp>>;

pub(crate) struct CommandedStore {
    /// Gone once the process is taken for dead.
    store: Mutex<Option<Arc<dyn Store>>>,
    clock: Arc<RuntimeClock>,
    /// How many calls are with the real store.
    under_way: watch::Sender<usize>,
    /// From the how-many-eth call on a method fails.
    faults: watch::Sender<HashMap<&'static str, (usize, Fault)>>,
    calls: Mutex<Calls>,
    /// When outcomes were recorded, and how many at once.
    recorded: Mutex<Vec<(Timestamp, usize)>>,
    /// The batch whose outcomes are refused.
    refused: Mutex<Refused>,
    /// The push service whose batches cannot be claimed.
    unclaimable: Mutex<Option<PushServiceGroup>>,
    /// The message whose plan this method refuses.
    unplannable: Mutex<Option<(&'static str, MessageId)>>,
    /// The message whose members cannot be read.
    unloadable: Mutex<Option<MessageId>>,
}

/// Whose outcomes are refused.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Refused {
    #[default]
    Nobodys,
    /// Those of the batch that is recorded first.
    First,
    Of(BatchId),
}

impl CommandedStore {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<RuntimeClock>) -> Self {
        Self {
            store: Mutex::new(Some(store)),
            clock,
            under_way: watch::Sender::new(0),
            faults: watch::Sender::default(),
            calls: Mutex::default(),
            recorded: Mutex::default(),
            refused: Mutex::default(),
            unclaimable: Mutex::default(),
            unplannable: Mutex::default(),
            unloadable: Mutex::default(),
        }
    }

    /// From now on a method fails.
    pub(crate) fn fail(&self, method: &'static str, fault: Fault) {
        self.fail_after(self.calls(method), method, fault);
    }

    /// A method fails once it was called so often.
    pub(crate) fn fail_after(&self, calls: usize, method: &'static str, fault: Fault) {
        self.faults
            .send_modify(|faults| _ = faults.insert(method, (calls, fault)));
    }

    /// The method is well again; what hung goes on.
    pub(crate) fn mend(&self, method: &'static str) {
        self.faults.send_modify(|faults| _ = faults.remove(method));
    }

    /// The outcomes of the first batch that has any are refused from then on.
    pub(crate) fn refuse_one_batch(&self) {
        *self.refused.lock().unwrap() = Refused::First;
    }

    /// No batch's outcomes are refused any more.
    pub(crate) fn refuse_no_batch(&self) {
        *self.refused.lock().unwrap() = Refused::Nobodys;
    }

    /// The batches of this push service cannot be claimed; those of others can.
    pub(crate) fn refuse_claims(&self, group: Option<PushServiceGroup>) {
        *self.unclaimable.lock().unwrap() = group;
    }

    /// The members of this message cannot be read; those of others can.
    pub(crate) fn hide_members(&self, message: Option<MessageId>) {
        *self.unloadable.lock().unwrap() = message;
    }

    /// This method refuses the plan of this message; those of others go on.
    pub(crate) fn refuse_plan(&self, method: &'static str, message: MessageId) {
        *self.unplannable.lock().unwrap() = Some((method, message));
    }

    /// Whether `method` may go on with the plan of a message.
    fn planning(&self, method: &'static str, message: MessageId) -> Result<(), StoreError> {
        if *self.unplannable.lock().unwrap() == Some((method, message)) {
            return Err(StoreError::Refused("damaged".into()));
        }
        Ok(())
    }

    fn refuses(&self, batch: BatchId) -> bool {
        let mut refused = self.refused.lock().unwrap();
        if *refused == Refused::First {
            *refused = Refused::Of(batch);
        }
        *refused == Refused::Of(batch)
    }

    /// The process that used it is dead: nothing of it reaches the store any more.
    pub(crate) fn kill(&self) {
        self.store.lock().unwrap().take();
    }

    pub(crate) fn calls(&self, method: &'static str) -> usize {
        self.called_at(method).len()
    }

    pub(crate) fn called_at(&self, method: &'static str) -> Vec<Timestamp> {
        let calls = self.calls.lock().unwrap();
        calls.get(method).cloned().unwrap_or_default()
    }

    /// When outcomes were recorded, and how many at once.
    pub(crate) fn recorded(&self) -> Vec<(Timestamp, usize)> {
        self.recorded.lock().unwrap().clone()
    }

    /// Calls so far, of all methods.
    pub(crate) fn all_calls(&self) -> usize {
        self.calls.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Waits until no call is with the real store.
    pub(crate) async fn idle(&self) {
        let mut under_way = self.under_way.subscribe();
        under_way.wait_for(|count| *count == 0).await.unwrap();
    }

    async fn begin(&self, method: &'static str) -> Result<Call<'_>, StoreError> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            let calls = calls.entry(method).or_default();
            calls.push(self.clock.now());
            calls.len()
        };
        let fault = |faults: &HashMap<&str, (usize, Fault)>| {
            let (after, fault) = faults.get(method).copied()?;
            (number > after).then_some(fault)
        };
        let mut faults = self.faults.subscribe();
        let now = fault(&faults.borrow_and_update());
        match now {
            Some(Fault::Unavailable) => return Err(StoreError::Unavailable("full".into())),
            Some(Fault::Refuses(what)) => return Err(StoreError::Refused(what.into())),
            Some(Fault::Hangs) => {
                let well = |faults: &HashMap<_, _>| fault(faults).is_none();
                faults.wait_for(well).await.unwrap();
            }
            None => {}
        }
        let store = self.store.lock().unwrap().clone();
        match store {
            Some(store) => {
                self.under_way.send_modify(|count| *count += 1);
                Ok(Call { store, of: self })
            }
            None => std::future::pending().await,
        }
    }
}

/// A call that is with the real store.
struct Call<'a> {
    store: Arc<dyn Store>,
    of: &'a CommandedStore,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.of.under_way.send_modify(|count| *count -= 1);
    }
}

/// Methods that do what the real store does, unless they are to fail.
macro_rules! delegate {
    ($trait:ident { $($name:ident($($argument:ident: $type:ty),*) -> $ok:ty;)* } $($own:tt)*) => {
        #[async_trait]
        impl $trait for CommandedStore {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$ok, StoreError> {
                let call = self.begin(stringify!($name)).await?;
                call.store.$name($($argument),*).await
            })*

            $($own)*
        }
    };
}

delegate! { VapidKeyStore {
    add_vapid_key(new: NewVapidKey) -> VapidKeyRecord;
    vapid_keys(app: ApplicationId) -> Vec<VapidKeyRecord>;
    subscriptions_by_vapid_key(app: ApplicationId) -> HashMap<VapidKeyId, u64>;
    vapid_key_pair(app: ApplicationId, id: VapidKeyId) -> Option<VapidKey>;
    keep_vapid_tokens(tokens: Vec<KeptToken>) -> ();
    vapid_tokens(app: ApplicationId, key: VapidKeyId, now: Timestamp) -> Vec<KeptToken>;
    set_vapid_key_state(
        app: ApplicationId,
        id: VapidKeyId,
        state: VapidKeyState
    ) -> Option<VapidKeyRecord>;
} }

delegate! { MessageStore {
    accept(new: NewMessage, idempotency: Option<IdempotencyKey>) -> Accepted;
    message(app: ApplicationId, id: MessageId) -> Option<MessageRecord>;
    messages(app: ApplicationId, page: PageRequest<MessageId>) -> Page<MessageRecord, MessageId>;
    message_to_send(id: MessageId) -> Option<MessageToSend>;
    next_plans(round: PlanRound) -> Vec<Plan>;
    fail_message(id: MessageId, now: Timestamp) -> bool;
}
    async fn audience(
        &self,
        plan: &Plan,
        through: Seq,
        limit: u16,
    ) -> Result<Vec<AudienceMember>, StoreError> {
        let call = self.begin("audience").await?;
        self.planning("audience", plan.message)?;
        call.store.audience(plan, through, limit).await
    }

    async fn add_planned(&self, step: PlannedStep) -> Result<Option<Vec<BatchId>>, StoreError> {
        let call = self.begin("add_planned").await?;
        self.planning("add_planned", step.message)?;
        call.store.add_planned(step).await
    }
}

delegate! { BatchStore {
    due_groups() -> Vec<DueGroup>;
    suspected_waves() -> Vec<SuspectedWave>;
    finish_pass(lease: &Lease, times: PassTimes) -> PassEnd;
    due_after_clock_jump(now: Timestamp, latest: Timestamp) -> u64;
    release(lease: &Lease) -> ();
    renew(lease: &Lease) -> bool;
}
    async fn load_members(
        &self,
        batch: &Batch,
        positions: Vec<Position>,
        now: Timestamp,
    ) -> Result<LoadedMembers, StoreError> {
        let call = self.begin("load_members").await?;
        if *self.unloadable.lock().unwrap() == Some(batch.message) {
            return Err(StoreError::Unavailable("a bad sector".into()));
        }
        call.store.load_members(batch, positions, now).await
    }

    async fn claim_due(&self, claim: Claim) -> Result<Vec<LeasedBatch>, StoreError> {
        let call = self.begin("claim_due").await?;
        let unclaimable = self.unclaimable.lock().unwrap().clone();
        if unclaimable.is_some_and(|group| group == claim.group) {
            return Err(StoreError::Refused("damaged".into()));
        }
        call.store.claim_due(claim).await
    }

    async fn record(
        &self,
        lease: &Lease,
        outcomes: Vec<Outcome>,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        let call = self.begin("record").await?;
        if self.refuses(lease.batch) {
            return Err(StoreError::Refused("damaged".into()));
        }
        let at = (self.clock.now(), outcomes.len());
        self.recorded.lock().unwrap().push(at);
        call.store.record(lease, outcomes, now).await
    }
}
