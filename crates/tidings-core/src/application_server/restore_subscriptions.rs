//! Tombstones and suspected subscriptions: undone or confirmed.

use std::num::NonZeroU32;

use tidings_webpush::PushService;

use crate::application::Application;
use crate::application_server::ApplicationServer;
use crate::batch::Seq;
use crate::id::SubscriptionId;
use crate::store::{Restored, StoreError, SuspectPage, SuspectsDecided};
use crate::subscription::{PushServiceGroup, SubscriptionRecord};

/// How many suspected subscriptions one step decides about: its transaction stays short.
const STEP: u16 = 200;

/// How many one request changes: some seconds' worth, even while everything else is written first.
const MOST_AT_ONCE: u64 = 50_000;

/// Why a subscription was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It was unsubscribed, by its page or by the back end.
    #[error("the subscription was ended by its page or back end")]
    Ended,
    /// The person has as many active subscriptions as the application allows.
    #[error("the user has {cap} active subscriptions already")]
    TooManySubscriptions {
        /// How many are allowed.
        cap: NonZeroU32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an operator says of the subscriptions that a push service called gone during a wave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SuspectsVerdict {
    /// It was a fault of the push service, or of ours: they live.
    Alive,
    /// It was right: they are gone.
    Gone,
}

impl ApplicationServer {
    /// Makes a tombstone or a suspected subscription active again. `None` if the application has
    /// none with this id.
    pub async fn restore_subscription(
        &self,
        application: &Application,
        id: SubscriptionId,
        even_ended: bool,
    ) -> Result<Option<SubscriptionRecord>, RestoreError> {
        let cap = application.max_subscriptions_per_user;
        let store = &self.parts.store;
        match store.restore(application.id, id, even_ended, cap).await? {
            None => Ok(None),
            Some(Restored::Active(record)) => Ok(Some(*record)),
            Some(Restored::Ended) => Err(RestoreError::Ended),
            Some(Restored::TooManyOfUser) => Err(RestoreError::TooManySubscriptions { cap }),
        }
    }

    /// Decides about suspected subscriptions of one push service, step by step, until it was all of
    /// them or has changed as many as one request may: `next` says whether there are more. Called
    /// again, then or after a failure, it goes on with those that are left.
    pub async fn decide_suspects(
        &self,
        application: &Application,
        service: PushService,
        verdict: SuspectsVerdict,
    ) -> Result<SuspectsDecided, StoreError> {
        let mut all = SuspectsDecided {
            next: Some(Seq::ZERO),
            ..SuspectsDecided::default()
        };
        while let Some(from) = all.next
            && all.changed < MOST_AT_ONCE
        {
            let page = SuspectPage {
                application: application.id,
                group: PushServiceGroup::of_service(service),
                after: from,
                limit: STEP,
                now: self.parts.clock.now(),
            };
            let cap = application.max_subscriptions_per_user;
            let step = match verdict {
                SuspectsVerdict::Alive => self.parts.store.restore_suspects(page, cap).await?,
                SuspectsVerdict::Gone => self.parts.store.confirm_suspects(page).await?,
            };
            all.changed += step.changed;
            all.left += step.left;
            all.next = step.next;
        }
        Ok(all)
    }
}
