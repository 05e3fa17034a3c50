//! A back end brings the subscriptions that it kept elsewhere.

pub(crate) mod line;

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidings_core::application::Application;
use tidings_core::application_server::{ImportKeys, RegisterError};
use tidings_core::store::{Imported, NewSubscription};
use tokio::task::JoinHandle;
use utoipa::{IntoParams, ToSchema};

use crate::api::v1::subscriptions::import::line::{ImportLine, RefusedLine};
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, WriteSubscriptions};
use crate::extract::lines::{Line, Lines};
use crate::extract::query::Query;
use crate::problem::ApiError;
use crate::state::AppState;

/// How many refused lines the answer tells of, if the caller does not say.
const DEFAULT_ERRORS: usize = 100;

/// How many it tells of at most.
const MAX_ERRORS: usize = 10_000;

/// And so many octets of them at most: what is wrong with a line may repeat what is in it.
const MAX_ERRORS_BYTES: usize = 4 * 1024 * 1024;

/// How much to tell.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportQuery {
    /// How many refused lines to tell of at most: 0 to 10000, 100 if not said, and 4 MiB of them. All
    /// are counted.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 10000, default = 100)]
    errors: Option<String>,
}

/// What became of the lines.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = ImportReport)]
pub(crate) struct ImportReport {
    /// How many lines there were, empty ones included.
    lines: u64,
    /// New subscriptions.
    created: u64,
    /// Those that were known with the same keys: what the line says of them was taken over.
    updated: u64,
    /// Lines that were not taken.
    refused: u64,
    /// Which those are, in the order of their numbers: the first ones, if there are many.
    errors: Vec<RefusedLine>,
}

/// Imports subscriptions: one a line (NDJSON), as many as there are, at most 16384 octets each. A line
/// that is wrong is told with its number and stops no other. What was read before a connection broke
/// is kept, and sending it again does no harm.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/import",
    operation_id = "import_subscriptions",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:write"])),
    params(ImportQuery),
    request_body(content = ImportLine, content_type = "application/x-ndjson",
        description = "One such object a line"),
    responses(
        (status = 200, description = "All lines were read", body = ImportReport),
        (status = 408, description = "Nothing of the body came for 30 seconds; what came before is kept"),
        (status = 409, description = "The application has no active VAPID key"),
        (status = 415, description = "Not sent as application/x-ndjson, or compressed"),
    ),
)]
pub(crate) async fn import(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<WriteSubscriptions>,
    Query(query): Query<ImportQuery>,
    mut lines: Lines,
) -> Result<Json<ImportReport>, ApiError> {
    let most_errors = query.most_errors()?;
    let mut importing = Importing {
        keys: Arc::new(state.server().import_keys(&application).await?),
        most_errors,
        room: MAX_ERRORS_BYTES,
        report: ImportReport::default(),
        state,
        application,
    };
    let read = importing.run(&mut lines).await;
    importing.report.lines = lines.count();
    importing.log();
    read?;
    Ok(Json(importing.report))
}

impl ImportQuery {
    fn most_errors(&self) -> Result<usize, ApiError> {
        let Some(text) = &self.errors else {
            return Ok(DEFAULT_ERRORS);
        };
        text.parse()
            .ok()
            .filter(|most| *most <= MAX_ERRORS)
            .ok_or_else(|| ApiError::query("errors", "must be a whole number from 0 to 10000"))
    }
}

/// An import under way.
struct Importing {
    state: AppState,
    application: Arc<Application>,
    keys: Arc<ImportKeys>,
    most_errors: usize,
    /// How many octets of refused lines may still be told.
    room: usize,
    report: ImportReport,
}

/// Lines that were looked at.
#[derive(Default)]
struct Checked {
    /// What there is to keep, and the numbers of those lines.
    prepared: Vec<NewSubscription>,
    numbers: Vec<u64>,
    refused: Vec<(u64, ApiError)>,
}

impl Importing {
    /// Reads and checks each part while the one before it is written.
    async fn run(&mut self, lines: &mut Lines) -> Result<(), ApiError> {
        let mut before: Option<JoinHandle<Checked>> = None;
        loop {
            let checking = match lines.next_part().await {
                Ok(part) if part.is_empty() => Ok(None),
                Ok(part) => self.check(part).await.map(Some),
                Err(error) => Err(error),
            };
            if let Some(checked) = before.take() {
                let checked = checked.await;
                self.keep(checked.map_err(|error| ApiError::Internal(error.to_string()))?)
                    .await?;
            }
            match checking? {
                Some(checking) => before = Some(checking),
                None => return Ok(()),
            }
        }
    }

    /// On a thread of its own: a thousand lines are some milliseconds of computing.
    async fn check(&mut self, part: Vec<Line>) -> Result<JoinHandle<Checked>, ApiError> {
        // An import takes long: a key may have come or gone since the last part.
        let keys = self.state.server().import_keys(&self.application).await?;
        self.keys = Arc::new(keys);
        let state = self.state.clone();
        let (application, keys) = (Arc::clone(&self.application), Arc::clone(&self.keys));
        Ok(tokio::task::spawn_blocking(move || {
            let mut checked = Checked::default();
            for line in part {
                let prepared = ImportLine::read(&line).and_then(|request| {
                    let prepared = state.server().prepare_import(&application, &keys, request);
                    prepared.map_err(ApiError::of_import)
                });
                match prepared {
                    Ok(prepared) => {
                        checked.prepared.push(prepared);
                        checked.numbers.push(line.number);
                    }
                    Err(error) => checked.refused.push((line.number, error)),
                }
            }
            checked
        }))
    }

    async fn keep(&mut self, checked: Checked) -> Result<(), ApiError> {
        let cap = self.application.max_subscriptions_per_user;
        let imported = self.state.server().import_subscriptions(checked.prepared);
        let mut refused = checked.refused;
        for (line, imported) in checked.numbers.into_iter().zip(imported.await?) {
            let error = match imported {
                Imported::Created => {
                    self.report.created += 1;
                    continue;
                }
                Imported::Updated => {
                    self.report.updated += 1;
                    continue;
                }
                Imported::OtherKeys => RegisterError::OtherKeys.into(),
                Imported::TooManyOfUser => RegisterError::TooManySubscriptions { cap }.into(),
                Imported::NotActive(state) => ApiError::SubscriptionNotActive(state),
                Imported::Damaged(id) => ApiError::SubscriptionDamaged(id),
            };
            refused.push((line, error));
        }
        refused.sort_by_key(|(line, _)| *line);
        for (line, error) in refused {
            self.report.refused += 1;
            self.tell(RefusedLine::new(line, error));
        }
        Ok(())
    }

    /// The first ones: what comes after one that had no place is not told either.
    fn tell(&mut self, refused: RefusedLine) {
        if self.report.errors.len() == self.most_errors {
            return;
        }
        self.room = self.room.saturating_sub(refused.size());
        if self.room > 0 {
            self.report.errors.push(refused);
        }
    }

    /// Who brought how many: the caller is a field of the request's span.
    fn log(&self) {
        let ImportReport {
            created,
            updated,
            refused,
            ..
        } = self.report;
        if created + updated + refused > 0 {
            tracing::info!(
                created,
                updated,
                refused,
                "imported subscriptions: {created} new, {updated} known, {refused} lines refused"
            );
        }
    }
}
