//! What the user agents got, by the sandbox's own count.

use anyhow::{Context, Result};
use http::Method;
use serde::Deserialize;

use crate::sandbox::Sandbox;

/// One virtual user agent.
#[derive(Debug, Deserialize)]
pub(crate) struct Got {
    pub(crate) endpoint: String,
    /// Messages that the push service took in for it.
    pub(crate) accepted: usize,
    /// The rules whose `share` it is in.
    shares: Vec<usize>,
}

impl Got {
    /// What all of them got, in the order in which they were made.
    pub(crate) async fn by_all(sandbox: &Sandbox) -> Result<Vec<Self>> {
        let path = "/sandbox/subscriptions";
        let answer = sandbox.control.ask(Method::GET, path, None).await?;
        let lines = answer.body().split(|octet| *octet == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).context("what a user agent got"))
            .collect()
    }

    /// Whether the rule of this number is about it, whatever comes.
    pub(crate) fn is_in_share(&self, rule: usize) -> bool {
        self.shares.contains(&rule)
    }

    /// Whether its push service is one of these hosts.
    pub(crate) fn is_at(&self, hosts: &[&str]) -> bool {
        let authority = self.endpoint.split('/').nth(2).unwrap_or_default();
        let host = authority.split(':').next().unwrap_or_default();
        hosts.contains(&host)
    }
}

/// How many got something.
pub(crate) fn reached<'a>(all: impl IntoIterator<Item = &'a Got>) -> usize {
    all.into_iter().filter(|got| got.accepted > 0).count()
}

/// How much they got more than once.
pub(crate) fn repeated<'a>(all: impl IntoIterator<Item = &'a Got>) -> usize {
    let more = |got: &Got| got.accepted.saturating_sub(1);
    all.into_iter().map(more).sum()
}
