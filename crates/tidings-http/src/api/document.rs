//! The OpenAPI document: generated from the handlers, then completed with what holds for all.

use serde_json::{Map, Value, json};
use tidings_core::application_server::MAX_API_TOKEN_LIFE;
use tidings_core::message::MAX_TTL;
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::api::{back_end_routes, long_routes, open_routes, page_routes};
use crate::problem::document::{InputError, Problem};

const INTRODUCTION: &str = "The API of a Tidings server, for pages and for back ends.\n\n\
    Names of the web platform stay as the platform spells them; all other JSON is snake_case. \
    Instants are RFC 3339 in UTC. Whatever goes wrong is answered with a problem document \
    (RFC 9457). Every answer has the header `X-Request-Id`, which the server's log has too.";

/// The API's description (OpenAPI 3.1), as indented JSON with a final newline.
pub fn openapi_json() -> String {
    let mut document = serde_json::to_value(generated()).unwrap_or_default();
    complete(&mut document);
    // A JSON value always has a text.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn generated() -> OpenApi {
    let mut components = Components::new();
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    components
        .schemas
        .insert(InputError::name().into_owned(), InputError::schema());
    let info = InfoBuilder::new()
        .title("Tidings")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION))
        .build();
    let base = OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build();
    OpenApiRouter::with_openapi(base)
        .merge(page_routes())
        .merge(back_end_routes())
        .merge(long_routes())
        .merge(open_routes())
        .into_openapi()
}

/// Adds what no attribute of a handler can say, or what every one would have to repeat.
fn complete(document: &mut Value) {
    let token =
        |description: &str| json!({"type": "http", "scheme": "bearer", "description": description});
    let tokens = json!({
        "api_token": token(
            "An API token with the scope that the operation names, or with the scope `admin`; or \
             the server's admin token.",
        ),
        "subscription_token": token("The token that came with the subscription's id."),
    });
    let one_content = json!([
        {"required": ["notification"]},
        {"required": ["data"]},
        {"required": ["payload_base64"]},
    ]);
    let subscription = json!("^sub_[0-9a-f]{32}$");
    for (pointer, name, value) in [
        ("", "securitySchemes", tokens),
        ("/schemas/NewMessage", "oneOf", one_content),
        (
            "/schemas/NewMessage",
            "dependentRequired",
            json!({"app_badge": ["notification"]}),
        ),
        ("/schemas/Audience/properties/all", "const", json!(true)),
        (
            "/schemas/Audience/properties/subscriptions/items",
            "pattern",
            subscription,
        ),
        (
            "/schemas/Audience/properties/users/items",
            "minLength",
            json!(1),
        ),
        (
            "/schemas/Audience/properties/users/items",
            "maxLength",
            json!(128),
        ),
        (
            "/schemas/Notification",
            "dependentRequired",
            json!({"renotify": ["tag"]}),
        ),
        ("/schemas/Ttl/oneOf/0", "maximum", json!(MAX_TTL.as_secs())),
        (
            "/schemas/TokenLife/oneOf/0",
            "maximum",
            json!(MAX_API_TOKEN_LIFE.as_secs()),
        ),
        ("/schemas/TokenLife/oneOf/0", "minimum", json!(1)),
    ] {
        insert(document, &format!("/components{pointer}"), name, value);
    }
    for operation in operations(document) {
        complete_operation(operation);
    }
}

/// The operations that may be asked without end.
const UNLIMITED: &[&str] = &["alive", "describe"];

fn rate_limit_headers() -> Value {
    let header = |description: &str, kind: &str| json!({"description": description, "schema": {"type": kind}});
    json!({
        "Retry-After": header("How many seconds to wait", "integer"),
        "RateLimit": header("What is left of each limit, and when there will be more", "string"),
        "RateLimit-Policy": header("How much each limit allows, and in how many seconds", "string"),
    })
}

fn complete_operation(operation: &mut Map<String, Value>) {
    let operation_id = operation.get("operationId").and_then(Value::as_str);
    let operation_id = operation_id.map(ToOwned::to_owned);
    let is_for_back_ends = operation
        .get("security")
        .and_then(Value::as_array)
        .is_some_and(|ways| ways.iter().any(|way| way.get("api_token").is_some()));
    if is_for_back_ends {
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(json!({
                "name": "Tidings-Application",
                "in": "header",
                "description": "The application to act for: the token's own if left out. Only \
                    tokens with the scope `admin` may name another one.",
                "schema": {"type": "string"},
            }));
        }
    }
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    if is_for_back_ends {
        responses.insert(
            "401".into(),
            json!({"description": "The token is missing, unknown, expired or revoked"}),
        );
        responses.insert(
            "403".into(),
            json!({"description": "The token does not have the scope that this needs"}),
        );
    }
    if !operation_id.is_some_and(|id| UNLIMITED.contains(&id.as_str())) {
        let limited = responses
            .entry("429")
            .or_insert_with(|| json!({"description": "Too many requests"}));
        insert(limited, "", "headers", rate_limit_headers());
    }
    responses.insert(
        "default".into(),
        json!({"description": "Any other problem"}),
    );
    for (status, response) in responses {
        if status == "default" || status.starts_with(['4', '5']) {
            insert(
                response,
                "",
                "content",
                json!({
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
                }),
            );
        }
    }
}

fn insert(document: &mut Value, pointer: &str, name: &str, value: Value) {
    if let Some(Value::Object(object)) = document.pointer_mut(pointer) {
        object.insert(name.to_owned(), value);
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    paths
        .into_iter()
        .flatten()
        .filter_map(|(_, path)| path.as_object_mut())
        .flatten()
        .filter_map(|(_, operation)| operation.as_object_mut())
}

/// A flat object: the application's own names.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what tidings-core takes")]
#[schema(value_type = std::collections::BTreeMap<String, AttributeValue>)]
pub(crate) struct Attributes(std::collections::BTreeMap<String, AttributeValue>);

/// A text of at most 256 octets, a number, a boolean, or at most 50 texts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what tidings-core takes")]
#[serde(untagged)]
pub(crate) enum AttributeValue {
    Text(String),
    Number(f64),
    Bool(bool),
    List(Vec<String>),
}

/// Seconds, or a duration like `4h` or `1d 12h`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `TtlMember`")]
#[serde(untagged)]
pub(crate) enum Ttl {
    Seconds(u32),
    Duration(String),
}

/// Seconds, or a duration like `90d`; at most 3650 days.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `LifeLimits`")]
#[serde(untagged)]
pub(crate) enum TokenLife {
    Seconds(u32),
    Duration(String),
}

/// What a token allows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an enum of tidings-core")]
pub(crate) enum Scope {
    #[schema(rename = "messages:send")]
    SendMessages,
    #[schema(rename = "messages:read")]
    ReadMessages,
    #[schema(rename = "subscriptions:read")]
    ReadSubscriptions,
    #[schema(rename = "subscriptions:write")]
    WriteSubscriptions,
    #[schema(rename = "subscriptions:export")]
    ExportSubscriptions,
    #[schema(rename = "monitoring:read")]
    Monitor,
    #[schema(rename = "admin")]
    Admin,
}

macro_rules! names {
    ($( $(#[$doc:meta])* $name:ident { $($variant:ident),* } $case:literal )*) => {
        $(
            $(#[$doc])*
            #[derive(ToSchema)]
            #[expect(dead_code, reason = "describes an enum of tidings-core or tidings-webpush")]
            #[schema(rename_all = $case)]
            pub(crate) enum $name { $($variant),* }
        )*
    };
}

names! {
    /// How urgent a message is (RFC 8030 §5.3).
    Urgency { VeryLow, Low, Normal, High } "kebab-case"
    /// How far a message is.
    MessageState { Scheduled, Planning, Sending, Done, Cancelled, Failed } "snake_case"
    /// `gone`: the push service said so; `suspect`: it said so during a wave; `ended`: unsubscribed.
    SubscriptionState { Active, Gone, Suspect, Ended } "snake_case"
    /// Whose push service a subscription is at.
    PushService { Fcm, Mozilla, Apple, Wns, Other } "snake_case"
    /// `active`: handed out to pages; `live`: signed with; `retired`: not used any more.
    VapidKeyState { Active, Live, Retired } "snake_case"
    /// Whether an API token is taken.
    ApiTokenState { Active, Expired, Revoked } "snake_case"
    /// What kind of condition needs an operator.
    AlertKind { KeyPaused, PushServiceUnreachable, SuspectedWave, OutcomesNotRecorded, NoContact } "snake_case"
    /// What happened to a notification.
    ReceiptEvent { Shown, Clicked, Dismissed } "snake_case"
}
