//! The ports that the pages name, and those that a test uses in their place.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

/// Each port of the pages, as they write it: of the server, of the sandbox without and with TLS, of
/// a site.
const ON_THE_PAGES: [&str; 4] = ["8030", "8031", "8032", "8080"];

/// Below those that the system hands out to whoever asks for any: nobody gets one of these between
/// the look whether it is free and its use.
const LOWEST: u32 = 10_000;
const SLOTS: u32 = 5_000;

/// Free ports for one chapter.
pub(crate) struct Ports([String; 4]);

impl Ports {
    pub(crate) fn choose() -> Result<Self> {
        // Tests run at the same time, as processes or as threads of one.
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        (0..SLOTS)
            .find_map(|_| {
                let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
                let slot = process::id().wrapping_mul(31).wrapping_add(taken) % SLOTS;
                let ports = [0, 1, 2, 3].map(|index| LOWEST + 4 * slot + index);
                ports.iter().all(|port| is_free(*port)).then_some(ports)
            })
            .map(|ports| Self(ports.map(|port| port.to_string())))
            .context("no ports are free")
    }

    pub(crate) fn server(&self) -> &str {
        &self.0[0]
    }

    pub(crate) fn sandbox(&self) -> &str {
        &self.0[1]
    }

    /// `text` of a page with the ports of this chapter.
    pub(crate) fn instead_of_those_in(&self, text: &str) -> String {
        let hosts = [
            "127.0.0.1:",
            "localhost:",
            "http.server ",
            "127.0.0.1 port ",
            "\"127.0.0.1\", ",
        ];
        ON_THE_PAGES
            .iter()
            .zip(&self.0)
            .flat_map(|ports| hosts.map(|host| (host, ports)))
            .fold(text.to_owned(), |text, (host, (on_page, chosen))| {
                text.replace(&format!("{host}{on_page}"), &format!("{host}{chosen}"))
            })
    }
}

fn is_free(port: u32) -> bool {
    u16::try_from(port).is_ok_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}
