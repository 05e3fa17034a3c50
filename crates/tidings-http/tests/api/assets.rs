//! The SDK and the demo.

use http::StatusCode;

use crate::harness::{Call, Harness, Setup, Transcript};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const TYPES: &str = "application/typescript; charset=utf-8";

#[tokio::test]
async fn the_sdk_can_be_loaded_from_any_origin() {
    let harness = Harness::new().await;
    for (file, content_type) in [
        ("tidings.js", SCRIPT),
        ("tidings-calls.js", SCRIPT),
        ("tidings-prompt.js", SCRIPT),
        ("tidings-sw.js", SCRIPT),
        ("tidings-sw-renew.js", SCRIPT),
        ("tidings.d.ts", TYPES),
        ("tidings-prompt.d.ts", TYPES),
        ("tidings-sw.d.ts", TYPES),
    ] {
        let path = format!("/sdk/{file}");
        let answer = harness.send(Call::get(&path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer}");
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            Some("cross-origin")
        );
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        let scope = (file == "tidings-sw.js").then_some("/");
        assert_eq!(answer.header("service-worker-allowed"), scope);
        let sdk = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk");
        assert_eq!(answer.body, std::fs::read(format!("{sdk}/{file}")).unwrap());

        let tag = answer.header("etag").unwrap();
        let again = harness
            .send(Call::get(&path).header("if-none-match", tag))
            .await;
        assert_eq!(
            (again.status, again.body.len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
        assert_eq!(again.header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test]
async fn nothing_else_of_the_sdks_folder_is_served() {
    let harness = Harness::new().await;
    for path in [
        "/sdk/package.json",
        "/sdk/tidings-kept.d.ts",
        "/sdk/demo/index.html",
        "/sdk/demo%2Findex.html",
        "/sdk/..%2FCargo.toml",
        "/sdk/",
        "/demo/..%2F..%2FCargo.toml",
        "/demo/../tidings.js",
        "/demo/nothing",
    ] {
        let answer = harness.send(Call::get(path)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer}");
        assert_eq!(
            answer.json()["type"],
            "urn:tidings:problem:not-found",
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_demo_is_served_with_a_strict_policy() {
    let harness = Harness::new().await;
    let page = harness.send(Call::get("/demo")).await;
    assert_eq!(page.status, StatusCode::OK, "{page}");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    for forbidden in [
        " style=",
        "<style",
        " onclick=",
        "<script>",
        "src=\"http",
        "href=\"http",
    ] {
        assert!(!html.contains(forbidden), "the policy forbids {forbidden}");
    }
    for reference in html.split("\"/demo/").skip(1) {
        let file = reference.split('"').next().unwrap();
        let answer = harness.send(Call::get(&format!("/demo/{file}"))).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        assert_ne!(
            answer.header("content-type"),
            Some("application/octet-stream"),
            "{file}"
        );
    }
    let mut transcript = Transcript::new(&harness);
    transcript.send("with a slash", Call::get("/demo/")).await;
    transcript.send("at the root", Call::get("/")).await;
    transcript
        .send("unchanged", Call::get("/demo").header("if-none-match", "*"))
        .await;
    transcript.check("demo");
}

#[tokio::test]
async fn without_the_setting_there_is_no_demo() {
    let harness = Harness::with(Setup {
        demo: false,
        ..Setup::default()
    })
    .await;
    for path in ["/", "/demo", "/demo/", "/demo/index.html"] {
        assert_eq!(
            harness.send(Call::get(path)).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(
        harness.send(Call::get("/sdk/tidings.js")).await.status,
        StatusCode::OK
    );
}
