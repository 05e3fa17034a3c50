//! The profile of the Firefox under test. Its preferences are the only thing about it that differs
//! from what people have.

/// Those without which a push service of our own, without TLS, is not used or nothing is shown.
const PUSH: &[(&str, &str)] = &[
    // `ws:` is refused without it.
    ("dom.push.testing.allowInsecureServerURL", "true"),
    // The default, but Firefox turns it off when it is driven, unless the profile says it.
    ("dom.push.connection.enabled", "true"),
    // As if the person had allowed it; nobody sees the prompt here, it would wait without end.
    ("permissions.default.desktop-notification", "1"),
    // Without a desktop's notification daemon `showNotification()` fails; this lets Firefox draw
    // notifications itself.
    ("alerts.useSystemBackend", "false"),
    // Not in every release the default: a notification may stay until somebody sees to it.
    ("dom.webnotifications.requireinteraction.enabled", "true"),
];

/// Those that keep Firefox on loopback: it calls home at start, past any proxy for names.
const LOOPBACK_ONLY: &[(&str, &str)] = &[
    ("network.proxy.type", "1"),
    // Nothing listens on the discard port: what leaves the machine fails at once.
    ("network.proxy.http", "\"127.0.0.1\""),
    ("network.proxy.http_port", "9"),
    ("network.proxy.ssl", "\"127.0.0.1\""),
    ("network.proxy.ssl_port", "9"),
    ("network.proxy.no_proxies_on", "\"localhost, 127.0.0.1\""),
    ("network.proxy.failover_direct", "false"),
    // Names are not asked for either.
    ("network.dns.native-is-localhost", "true"),
    ("network.dns.native_https_query", "false"),
    ("network.dns.use_https_rr_as_altsvc", "false"),
    ("network.dns.upgrade_with_https_rr", "false"),
    ("network.trr.mode", "5"),
    ("app.normandy.enabled", "false"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("browser.safebrowsing.malware.enabled", "false"),
    ("browser.safebrowsing.phishing.enabled", "false"),
];

/// Those that keep the first run from opening pages of its own.
const QUIET: &[(&str, &str)] = &[
    ("browser.aboutwelcome.enabled", "false"),
    ("browser.startup.page", "0"),
    (
        "datareporting.policy.dataSubmissionPolicyBypassNotification",
        "true",
    ),
];

/// The text of `user.js` for a Firefox whose push service is at `push_service`, a `ws:` URL.
pub(crate) fn user_js(push_service: &str) -> String {
    let server = format!("\"{push_service}\"");
    let all = [
        &[("dom.push.serverURL", server.as_str())],
        PUSH,
        LOOPBACK_ONLY,
        QUIET,
    ]
    .concat();
    let lines = all
        .iter()
        .map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"));
    lines.collect::<Vec<_>>().concat()
}
