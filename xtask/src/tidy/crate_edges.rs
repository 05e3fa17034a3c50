//! Which crate may depend on which. A new edge is a change of the design: it has a commit and a
//! page in `docs/decisions/` of its own, and goes into the table here and in `ARCHITECTURE.md`.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::tidy::{Check, Finding};

/// One crate's row in the table.
pub(super) struct Edges {
    krate: &'static str,
    /// Crates of ours that it may be built with.
    ours: &'static [&'static str],
    /// Crates of others that it must be built without: what it must not know about.
    not: &'static [&'static str],
}

const SQL: &[&str] = &["rusqlite", "sqlx", "tokio-postgres"];
const SQL_AND_HTTP_SERVER: &[&str] = &["axum", "rusqlite", "sqlx", "tokio-postgres"];
const SOCKETS: &[&str] = &["axum", "h2", "hyper", "hyper-util", "reqwest", "ureq"];
const SOCKETS_AND_SQL: &[&str] = &[
    "axum",
    "h2",
    "hyper",
    "hyper-util",
    "reqwest",
    "rusqlite",
    "sqlx",
    "tokio-postgres",
    "ureq",
];
/// Beside sockets and SQL, a runtime and every clock.
const ALL_BUT_BYTES: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "h2",
    "hyper",
    "hyper-util",
    "jiff",
    "reqwest",
    "rusqlite",
    "smol",
    "sqlx",
    "time",
    "tokio",
    "tokio-postgres",
    "ureq",
];

/// The table.
pub(super) const EDGES: &[Edges] = &[
    Edges {
        krate: "tidings-webpush",
        ours: &[],
        not: ALL_BUT_BYTES,
    },
    Edges {
        krate: "tidings-core",
        ours: &["tidings-webpush"],
        not: SOCKETS_AND_SQL,
    },
    Edges {
        krate: "tidings-store-sqlite",
        ours: &["tidings-core", "tidings-webpush"],
        not: SOCKETS,
    },
    Edges {
        krate: "tidings-delivery",
        ours: &["tidings-core", "tidings-webpush"],
        not: SQL_AND_HTTP_SERVER,
    },
    Edges {
        krate: "tidings-http",
        ours: &["tidings-core", "tidings-webpush"],
        not: SQL,
    },
    Edges {
        krate: "tidings-sandbox",
        ours: &["tidings-webpush"],
        not: SQL,
    },
    Edges {
        krate: "tidings",
        ours: &[
            "tidings-core",
            "tidings-delivery",
            "tidings-http",
            "tidings-sandbox",
            "tidings-store-sqlite",
            "tidings-webpush",
        ],
        not: SQL,
    },
    Edges {
        krate: "tidings-store-conformance",
        ours: &[
            "tidings-core",
            "tidings-sandbox",
            // docs/decisions/0006
            "tidings-testkit",
            "tidings-webpush",
        ],
        not: &[],
    },
    Edges {
        krate: "tidings-testkit",
        ours: &["tidings-core", "tidings-sandbox", "tidings-webpush"],
        not: &[],
    },
    Edges {
        krate: "xtask",
        ours: &[],
        not: &[],
    },
];

/// What the tests of every crate may use beside what the crate is built with.
const FOR_TESTS: &[&str] = &[
    "tidings-sandbox",
    "tidings-store-conformance",
    "tidings-store-sqlite",
    "tidings-testkit",
];

/// A crate of the workspace.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    /// Whether it comes from this repository.
    is_ours: bool,
    for_tests: bool,
}

impl Member {
    /// All crates of the workspace at `root`, as Cargo reads their manifests.
    pub(super) fn all_of(root: &Path) -> anyhow::Result<Vec<Self>> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
            .arg("--manifest-path")
            .arg(root.join("Cargo.toml"))
            .output()
            .context("running cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata = serde_json::from_slice(&output.stdout)?;
        Self::parse_all(&metadata).context("reading what cargo metadata printed")
    }

    fn parse_all(metadata: &Value) -> anyhow::Result<Vec<Self>> {
        list(metadata, "packages")?
            .iter()
            .map(|package| {
                let dependencies = list(package, "dependencies")?.iter();
                Ok(Self {
                    name: name(package)?,
                    dependencies: dependencies
                        .map(Dependency::parse)
                        .collect::<Result<_, _>>()?,
                })
            })
            .collect()
    }
}

impl Dependency {
    fn parse(dependency: &Value) -> anyhow::Result<Self> {
        Ok(Self {
            name: name(dependency)?,
            is_ours: dependency.get("path").is_some_and(Value::is_string),
            // A build dependency ends up in what is built, so it counts as a normal one.
            for_tests: dependency.get("kind").and_then(Value::as_str) == Some("dev"),
        })
    }
}

/// Every dependency on a crate of ours is in the table.
pub(super) fn edges(members: &[Member], table: &[Edges]) -> Check {
    let mut findings = Vec::new();
    let mut examined = 0;
    for member in members {
        let Some(row) = table.iter().find(|row| row.krate == member.name) else {
            findings.push(Finding::new(&member.name, "is not in the table"));
            continue;
        };
        for dependency in member.dependencies.iter().filter(|to| to.is_ours) {
            examined += 1;
            let name = dependency.name.as_str();
            let is_for_tests = dependency.for_tests && FOR_TESTS.contains(&name);
            if !row.ours.contains(&name) && !is_for_tests {
                let kind = if dependency.for_tests {
                    "[dev-dependencies]"
                } else {
                    "[dependencies]"
                };
                let what = format!("{kind} has {name}, the table has not");
                findings.push(Finding::new(&member.name, what));
            }
        }
    }
    let gone = table
        .iter()
        .filter(|row| members.iter().all(|member| member.name != row.krate));
    findings.extend(gone.map(|row| Finding::new(row.krate, "is in the table, but not a crate")));
    Check {
        rule: "crate edges",
        advice: "move the code to the crate that may know both, or put a trait of tidings-core \
                 between them. If the design is to change: a page in docs/decisions/, the edge in \
                 EDGES in xtask/src/tidy/crate_edges.rs and in ARCHITECTURE.md, in a commit of its \
                 own.",
        examined: (examined, "edges"),
        findings,
    }
}

/// No crate is built with what it must not know about.
pub(super) fn foreign(members: &[Member], table: &[Edges]) -> Check {
    let mut findings = Vec::new();
    let mut examined = 0;
    for member in members {
        let row = table.iter().find(|row| row.krate == member.name);
        let not = row.map_or(&[][..], |row| row.not);
        let built_with = member.dependencies.iter().filter(|to| !to.for_tests);
        for dependency in built_with.filter(|to| !to.is_ours) {
            examined += 1;
            if not.contains(&dependency.name.as_str()) {
                let what = format!("is built with {}, which it must not know", dependency.name);
                findings.push(Finding::new(&member.name, what));
            }
        }
    }
    Check {
        rule: "foreign concerns",
        advice: "do it in the crate whose concern it is (ARCHITECTURE.md, “What holds \
                 everywhere”) and pass the result in.",
        examined: (examined, "dependencies"),
        findings,
    }
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .with_context(|| format!("no list “{key}”"))
}

fn name(value: &Value) -> anyhow::Result<String> {
    let name = value.get("name").and_then(Value::as_str);
    Ok(name.context("no name")?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TABLE: &[Edges] = &[
        Edges {
            krate: "core",
            ours: &[],
            not: &["axum"],
        },
        Edges {
            krate: "http",
            ours: &["core"],
            not: &[],
        },
    ];

    fn member(name: &str, dependencies: &[(&str, bool, bool)]) -> Member {
        let dependencies = dependencies
            .iter()
            .map(|&(name, is_ours, for_tests)| Dependency {
                name: name.to_owned(),
                is_ours,
                for_tests,
            });
        Member {
            name: name.to_owned(),
            dependencies: dependencies.collect(),
        }
    }

    #[test]
    fn edges_of_the_table_pass() {
        let members = [
            member("core", &[("serde", false, false)]),
            member("http", &[("core", true, false), ("core", true, true)]),
        ];
        assert!(edges(&members, TABLE).passed());
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_found() {
        let members = [
            member("core", &[("http", true, false), ("http", true, true)]),
            member("http", &[]),
        ];
        let expected = [
            Finding::new("core", "[dependencies] has http, the table has not"),
            Finding::new("core", "[dev-dependencies] has http, the table has not"),
        ];
        assert_eq!(edges(&members, TABLE).findings, expected);
    }

    #[test]
    fn what_is_for_tests_is_only_for_tests() {
        for name in FOR_TESTS {
            let with = |for_tests| {
                let members = [
                    member("core", &[(name, true, for_tests)]),
                    member("http", &[]),
                ];
                edges(&members, TABLE).findings.len()
            };
            assert_eq!((with(true), with(false)), (0, 1), "{name}");
        }
    }

    #[test]
    fn the_table_has_every_crate_and_no_other() {
        let members = [member("core", &[]), member("new", &[])];
        let expected = [
            Finding::new("new", "is not in the table"),
            Finding::new("http", "is in the table, but not a crate"),
        ];
        assert_eq!(edges(&members, TABLE).findings, expected);
    }

    #[test]
    fn what_a_crate_must_not_know_is_found_outside_of_its_tests() {
        let with = |for_tests| {
            let members = [member("core", &[("axum", false, for_tests)])];
            foreign(&members, TABLE).findings.len()
        };
        assert_eq!((with(false), with(true)), (1, 0));
    }

    #[test]
    fn cargo_tells_kind_and_origin_of_dependencies() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = |name: &str, rest: &str| {
            let place = folder.path().join(name);
            fs::create_dir_all(place.join("src")).unwrap();
            fs::write(place.join("src/lib.rs"), "").unwrap();
            let text = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}");
            fs::write(place.join("Cargo.toml"), text).unwrap();
        };
        let root = "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\
                    [workspace.dependencies]\na = { path = \"a\" }\n";
        fs::write(folder.path().join("Cargo.toml"), root).unwrap();
        manifest("a", "[dependencies]\nserde = \"1\"\n");
        manifest(
            "b",
            "[dependencies]\nother = { package = \"a\", path = \"../a\", optional = true }\n\
             [dev-dependencies]\na = { workspace = true }\n\
             [target.'cfg(windows)'.build-dependencies]\na = { path = \"../a\" }\n",
        );

        let members = Member::all_of(folder.path()).unwrap();

        let b = members.iter().find(|member| member.name == "b").unwrap();
        assert!(b.dependencies.iter().all(|to| to.is_ours && to.name == "a"));
        let for_tests = b.dependencies.iter().filter(|to| to.for_tests).count();
        assert_eq!((b.dependencies.len(), for_tests), (3, 1));
        let a = members.iter().find(|member| member.name == "a").unwrap();
        assert!(!a.dependencies[0].is_ours);
    }
}
