//! What the repository says about the API and what the API does are the same.

use std::fs;

use serde_json::Value;
use tidings_http::{ProblemType, openapi_json};

use crate::harness::{Call, Harness};

const ERRORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
const OPENAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
const SNAPSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");

/// Problem types that no snapshot can hold: their answers depend on time or on a broken connection,
/// and have tests of their own.
const WITHOUT_SNAPSHOT: &[ProblemType] = &[ProblemType::BodyInterrupted, ProblemType::BodyTimeout];

#[test]
fn errors_md_lists_exactly_the_problem_types() {
    let text = fs::read_to_string(ERRORS).unwrap();
    let mut listed = text.split("\n## ").skip(1).map(|section| {
        let mut lines = section.lines().filter(|line| !line.is_empty());
        (
            lines.next().unwrap().to_owned(),
            lines.next().unwrap().to_owned(),
        )
    });
    for kind in ProblemType::ALL {
        let expected = (
            kind.slug().to_owned(),
            format!(
                "`{}` · **{}** · {}",
                kind.uri(),
                kind.status().as_u16(),
                kind.title()
            ),
        );
        assert_eq!(listed.next(), Some(expected));
    }
    assert_eq!(listed.next(), None);
}

#[test]
fn every_problem_type_has_a_snapshot() {
    let snapshots: String = fs::read_dir(SNAPSHOTS)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for kind in ProblemType::ALL
        .iter()
        .filter(|kind| !WITHOUT_SNAPSHOT.contains(kind))
    {
        assert!(
            snapshots.contains(&format!("\"{}\"", kind.uri())),
            "{kind:?} has none"
        );
    }
}

/// `UPDATE=1 cargo test -p tidings-http` writes the file.
#[test]
fn the_committed_openapi_document_is_the_generated_one() {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(OPENAPI, openapi_json()).unwrap();
    }
    let committed = fs::read_to_string(OPENAPI).unwrap();
    assert!(
        committed == openapi_json(),
        "docs/openapi.json is old: run this test with UPDATE=1"
    );
}

#[tokio::test]
async fn the_openapi_document_is_served() {
    let harness = Harness::new().await;
    let answer = harness.send(Call::get("/openapi.json")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, openapi_json());
    let tag = answer.header("etag").unwrap();
    let again = harness
        .send(Call::get("/openapi.json").header("if-none-match", tag))
        .await;
    assert_eq!(again.status, 304);
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn what_no_attribute_can_say_is_in_the_document() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    for pointer in [
        "/securitySchemes/api_token",
        "/schemas/NewMessage/oneOf",
        "/schemas/NewMessage/dependentRequired",
        "/schemas/Audience/properties/all/const",
        "/schemas/Audience/properties/subscriptions/items/pattern",
        "/schemas/Audience/properties/users/items/maxLength",
        "/schemas/Notification/dependentRequired",
        "/schemas/Ttl/oneOf/0/maximum",
        "/schemas/TokenLife/oneOf/0/maximum",
    ] {
        assert!(
            document["components"].pointer(pointer).is_some(),
            "{pointer}"
        );
    }
    for schema in [
        "NewMessage",
        "Audience",
        "SubscriptionChange",
        "NewVapidKey",
        "NewApiToken",
        "Receipt",
    ] {
        let schema = &document["components"]["schemas"][schema];
        assert_eq!(schema["additionalProperties"], false, "{schema}");
    }
}

#[test]
fn operation_ids_are_unique() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut ids: Vec<_> = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

fn collect_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                into.push(reference.clone());
            }
            object
                .values()
                .for_each(|member| collect_references(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, into)),
        _ => {}
    }
}
