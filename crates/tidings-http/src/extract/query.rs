//! Query parameters of lists.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidings_core::store::PageRequest;
use utoipa::IntoParams;

use crate::cursor::CursorKey;
use crate::problem::ApiError;

/// How many entries a list has if the caller does not say.
const DEFAULT_LIMIT: u16 = 50;

/// How many entries a list has at most.
const MAX_LIMIT: u16 = 100;

/// How many parameters a query has at most: more than any list knows.
const MAX_PARAMETERS: usize = 16;

/// The query as a value.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .take(MAX_PARAMETERS + 1)
            .collect();
        if let Some((name, _)) = pairs.get(MAX_PARAMETERS) {
            let what = format!("is one too many: a query has at most {MAX_PARAMETERS}");
            return Err(ApiError::query(name, what));
        }
        if let Some(name) = first_repeated(&pairs) {
            return Err(ApiError::query(name, "is given twice: give it once"));
        }
        let object = pairs
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        let deserializer = serde_json::Value::Object(object);
        let read = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let what = error.inner().to_string();
            ApiError::query(
                &error.path().to_string(),
                what.replacen("unknown field", "unknown parameter", 1),
            )
        })?;
        Ok(Self(read))
    }
}

fn first_repeated(pairs: &[(String, String)]) -> Option<&str> {
    let repeated = |index: usize, name: &str| pairs.iter().take(index).any(|(it, _)| it == name);
    pairs
        .iter()
        .enumerate()
        .find(|(index, (name, _))| repeated(*index, name))
        .map(|(_, (name, _))| name.as_str())
}

/// Which part of a list to answer with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// How many entries at most: 1 to 100, 50 if not said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 50)]
    limit: Option<String>,
    /// `next` of the answer before.
    cursor: Option<String>,
}

impl ListQuery {
    /// The part of the list that is meant.
    pub(crate) fn page<K: CursorKey>(&self) -> Result<PageRequest<K>, ApiError> {
        page(self.limit.as_deref(), self.cursor.as_deref())
    }
}

/// The part of a list that `limit` and `cursor` mean.
pub(crate) fn page<K: CursorKey>(
    limit: Option<&str>,
    cursor: Option<&str>,
) -> Result<PageRequest<K>, ApiError> {
    let limit = match limit {
        None => DEFAULT_LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| ApiError::query("limit", "must be a whole number from 1 to 100"))?,
    };
    let after = cursor
        .map(|text| {
            crate::cursor::read(text).ok_or_else(|| {
                ApiError::query("cursor", "must be `next` of an answer of this very list")
            })
        })
        .transpose()?;
    Ok(PageRequest { after, limit })
}
