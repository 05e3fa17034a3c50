use std::net::IpAddr;

use serde_json::Value;
use tidings_webpush::{
    Admission, AdmissionError, HostPattern, HostPatternError, PushResource, PushResourceError,
    PushService,
};

use crate::vectors::{cases, load, text};

fn patterns(texts: &[&str]) -> Vec<HostPattern> {
    texts
        .iter()
        .map(|text| HostPattern::parse(text).unwrap())
        .collect()
}

fn admits(admission: &Admission, url: &str) -> bool {
    PushResource::parse(url).is_ok_and(|resource| admission.admit(&resource).is_ok())
}

fn check_column(admission: &Admission, column: &str) {
    let vectors = load("endpoints.json");
    for case in cases(&vectors, "cases") {
        let url = text(case, "url");
        let expected = case[column].as_bool().unwrap();
        assert_eq!(admits(admission, url), expected, "{url} ({})", case["why"]);
    }
}

#[test]
fn only_known_push_services_are_admitted_by_default() {
    check_column(&Admission::new(), "strict");
}

#[test]
fn any_public_host_is_admitted_if_the_operator_says_so() {
    check_column(&Admission::new().with_hosts(patterns(&["*"])), "open");
}

#[test]
fn push_services_are_told_from_the_parsed_host() {
    let vectors = load("endpoints.json");
    let mut compared = 0;
    for case in cases(&vectors, "cases") {
        let url = text(case, "url");
        let (Ok(resource), Value::String(service)) =
            (PushResource::parse(url), &case["push_service"])
        else {
            continue;
        };
        assert_eq!(resource.push_service().as_str(), service, "{url}");
        compared += 1;
    }
    assert_eq!(compared, 18);
}

#[test]
fn parts_are_normalised_and_the_path_is_not() {
    // Text, URL, origin, port, path and query.
    let cases = [
        (
            "https://FCM.googleapis.com:443/fcm/send/cZq1:APA91bExample",
            "https://fcm.googleapis.com/fcm/send/cZq1:APA91bExample",
            "https://fcm.googleapis.com",
            443,
            "/fcm/send/cZq1:APA91bExample",
        ),
        (
            "https://wns2-par02p.notify.windows.com/w/?token=BQY%3d%3D&a=b",
            "https://wns2-par02p.notify.windows.com/w/?token=BQY%3d%3D&a=b",
            "https://wns2-par02p.notify.windows.com",
            443,
            "/w/?token=BQY%3d%3D&a=b",
        ),
        (
            "http://127.0.0.1:8082/wpush/v2/x",
            "http://127.0.0.1:8082/wpush/v2/x",
            "http://127.0.0.1:8082",
            8082,
            "/wpush/v2/x",
        ),
        (
            "https://PUSH.example.org:8443",
            "https://push.example.org:8443/",
            "https://push.example.org:8443",
            8443,
            "/",
        ),
        (
            "http://[::1]:80?x",
            "http://[::1]/?x",
            "http://[::1]",
            80,
            "/?x",
        ),
        (
            "HTTPS://b\u{fc}cher.example/x",
            "https://xn--bcher-kva.example/x",
            "https://xn--bcher-kva.example",
            443,
            "/x",
        ),
    ];
    for (text, url, origin, port, path_and_query) in cases {
        let resource = PushResource::parse(text).unwrap();
        assert_eq!(resource.expose(), url, "{text}");
        assert_eq!(resource.origin(), origin, "{text}");
        assert_eq!(resource.port(), port, "{text}");
        assert_eq!(resource.path_and_query(), path_and_query, "{text}");
        assert_eq!(
            resource.scheme_is_https(),
            url.starts_with("https:"),
            "{text}"
        );
        assert_eq!(resource, PushResource::parse(url).unwrap(), "{text}");
    }
}

#[test]
fn what_grows_too_long_when_it_is_normalised_is_refused() {
    let url = |labels: usize| format!("https://{}push.example.net/x", "ü.".repeat(labels));
    let resource = PushResource::parse(&url(200)).unwrap();
    assert_eq!(PushResource::parse(resource.expose()), Ok(resource));
    let refused = PushResource::parse(&url(500));
    assert_eq!(refused, Err(PushResourceError::TooLong { got: 4026 }));
}

#[test]
fn texts_that_parsers_read_differently_are_refused() {
    let long = format!("https://fcm.googleapis.com/{}", "a".repeat(2048));
    let cases = [
        ("", PushResourceError::NotAbsolute),
        ("fcm.googleapis.com/x", PushResourceError::NotAbsolute),
        (
            "https:/fcm.googleapis.com/x",
            PushResourceError::NotAbsolute,
        ),
        (
            "https:///fcm.googleapis.com/x",
            PushResourceError::NotAbsolute,
        ),
        ("javascript:alert(1)", PushResourceError::NotAbsolute),
        ("ftp://fcm.googleapis.com/x", PushResourceError::Scheme),
        (
            "https://fcm.googleapis.com\\@evil.test/x",
            PushResourceError::Character,
        ),
        (
            "https://fcm.googleapis.com/a b",
            PushResourceError::Character,
        ),
        (
            "https://fcm.goo\tgleapis.com/x",
            PushResourceError::Character,
        ),
        (
            " https://fcm.googleapis.com/x",
            PushResourceError::Character,
        ),
        (
            "https://fcm.googleapis.com/x\u{7f}",
            PushResourceError::Character,
        ),
        (
            "https://user:pw@fcm.googleapis.com/x",
            PushResourceError::UserInformation,
        ),
        (
            "https://@fcm.googleapis.com/x",
            PushResourceError::UserInformation,
        ),
        (
            "https://fcm.googleapis.com/x#frag",
            PushResourceError::Fragment,
        ),
        ("https://fcm.googleapis.com/x#", PushResourceError::Fragment),
        (
            "https://fcm.googleapis.com./x",
            PushResourceError::TrailingDot,
        ),
        (
            "https://fcm.googleapis.com/a/../b",
            PushResourceError::NotNormalised,
        ),
        (
            "https://fcm.googleapis.com/a/%2e%2E/b",
            PushResourceError::NotNormalised,
        ),
        (
            "https://fcm.googleapis.com/\u{fc}",
            PushResourceError::NotNormalised,
        ),
        (
            "https://fcm.googleapis.com/a?\"",
            PushResourceError::NotNormalised,
        ),
        (&long, PushResourceError::TooLong { got: 2075 }),
    ];
    for (text, expected) in cases {
        assert_eq!(PushResource::parse(text).unwrap_err(), expected, "{text:?}");
    }
    for text in [
        "https://a:99999/x",
        "https://[::1/x",
        "https://a%00b/x",
        "https://1.2.3.456/",
    ] {
        let error = PushResource::parse(text).unwrap_err();
        assert!(
            matches!(error, PushResourceError::Syntax(_)),
            "{text}: {error:?}"
        );
    }
}

#[test]
fn entries_open_hosts_and_ports() {
    let admission = Admission::new().with_hosts(patterns(&[
        "push.example.org",
        "*.sub.example.net",
        "ntfy.example.com:8443",
        "fcm.googleapis.com:8443",
        "printer.local",
        "9.9.9.9:8443",
        "10.0.0.5",
    ]));
    let cases = [
        ("https://push.example.org/x", true),
        ("https://PUSH.example.org/x", true),
        ("https://push.example.org:8443/x", false),
        ("https://a.push.example.org/x", false),
        ("https://evilpush.example.org/x", false),
        ("https://a.sub.example.net/x", true),
        ("https://a.b.sub.example.net/x", true),
        ("https://sub.example.net/x", false),
        ("https://evilsub.example.net/x", false),
        ("https://ntfy.example.com:8443/x", true),
        ("https://ntfy.example.com/x", false),
        ("https://fcm.googleapis.com:8443/x", true),
        ("https://fcm.googleapis.com/x", true),
        ("https://printer.local/x", true),
        ("https://other.local/x", false),
        ("https://9.9.9.9:8443/x", true),
        ("https://9.9.9.9/x", false),
        // An entry names a host; reaching a private network takes `with_networks`.
        ("https://10.0.0.5/x", false),
        ("http://push.example.org/x", false),
    ];
    for (url, expected) in cases {
        assert_eq!(admits(&admission, url), expected, "{url}");
    }
}

#[test]
fn networks_admit_their_literal_addresses_on_any_port() {
    let admission = Admission::new()
        .with_networks(["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    let cases = [
        ("https://127.0.0.1:8443/x", true),
        ("https://localhost:8443/x", true),
        ("https://app.localhost/x", true),
        ("https://[fd00::1]:9/x", true),
        ("https://[::ffff:127.0.0.1]/x", true),
        ("https://[::1]/x", false),
        ("https://10.0.0.1/x", false),
        ("https://9.9.9.9/x", false),
        ("http://127.0.0.1:8443/x", false),
        ("http://localhost:8443/x", false),
    ];
    for (url, expected) in cases {
        assert_eq!(admits(&admission, url), expected, "{url}");
    }
    assert!(admits(
        &Admission::new().with_hosts(patterns(&["*"])),
        "https://9.9.9.9/x"
    ));
}

#[test]
fn http_is_admitted_inside_networks_only_and_only_on_request() {
    let admission = Admission::new()
        .with_hosts(patterns(&["sandbox:8080", "*"]))
        .with_networks([
            "127.0.0.0/8".parse().unwrap(),
            "172.18.0.0/16".parse().unwrap(),
        ])
        .with_insecure(true);
    let cases = [
        ("http://127.0.0.1:8080/x", true),
        ("http://localhost:8080/x", true),
        // A name may be admitted; the address it leads to is checked when connecting.
        ("http://sandbox:8080/x", true),
        ("http://9.9.9.9:443/x", false),
        ("http://10.0.0.1/x", false),
        ("http://fcm.googleapis.com/x", false),
    ];
    for (url, expected) in cases {
        assert_eq!(admits(&admission, url), expected, "{url}");
    }
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(admission.may_connect_insecurely(address("172.18.0.2")));
    assert!(!admission.may_connect_insecurely(address("9.9.9.9")));
    assert!(!admission.may_connect_insecurely(address("10.0.0.1")));
    let secure = admission.with_insecure(false);
    assert!(!secure.may_connect_insecurely(address("172.18.0.2")));
}

#[test]
fn refusals_say_what_to_do() {
    let admission = Admission::new();
    let cases = [
        (
            "http://fcm.googleapis.com/x",
            AdmissionError::Insecure,
            "https",
        ),
        (
            "https://push.example.org/x",
            AdmissionError::UnknownHost,
            "operator can admit",
        ),
        (
            "https://fcm.googleapis.com:8443/x",
            AdmissionError::Port { port: 8443 },
            "host and port",
        ),
        (
            "https://10.0.0.1/x",
            AdmissionError::NotPublic {
                address: "10.0.0.1".parse().unwrap(),
            },
            "allow its network",
        ),
        (
            "https://localhost/x",
            AdmissionError::NotPublicName,
            "operator can admit",
        ),
        (
            "https://android.googleapis.com/gcm/send/x",
            AdmissionError::Retired,
            "subscribe again",
        ),
    ];
    let listed = Admission::new().with_hosts(patterns(&["printer.local"]));
    let printer = PushResource::parse("https://printer.local:631/x").unwrap();
    assert_eq!(
        listed.admit(&printer),
        Err(AdmissionError::Port { port: 631 })
    );
    for (url, expected, hint) in cases {
        let error = admission
            .admit(&PushResource::parse(url).unwrap())
            .unwrap_err();
        assert_eq!(error, expected, "{url}");
        assert!(error.to_string().contains(hint), "{url}: {error}");
    }
}

#[test]
fn only_public_addresses_may_be_connected_to() {
    let public = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.88.98.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:200::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        // Teredo: server 8.8.8.8, client 9.9.9.9 inverted.
        "2001:0:808:808:0:0:f6f6:f6f6",
    ];
    let not_public = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001:2::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
        // Teredo: private client behind a public server, and the other way round.
        "2001:0:808:808:0:0:f5ff:fffe",
        "2001:0:a00:1:0:0:f6f6:f6f6",
    ];
    let admission = Admission::new();
    for address in public {
        assert!(
            admission.may_connect(address.parse().unwrap()),
            "{address} is public"
        );
    }
    for address in not_public {
        assert!(
            !admission.may_connect(address.parse().unwrap()),
            "{address} is not public"
        );
    }
}

#[test]
fn listed_networks_may_be_connected_to_in_every_form_of_their_addresses() {
    let admission = Admission::new().with_networks(["10.1.0.0/16".parse().unwrap()]);
    let cases = [
        ("10.1.2.3", true),
        ("10.2.0.1", false),
        ("::ffff:10.1.2.3", true),
        ("::ffff:10.2.0.1", false),
        ("64:ff9b::a01:203", true),
        ("8.8.8.8", true),
        ("fd00::1", false),
    ];
    for (address, expected) in cases {
        assert_eq!(
            admission.may_connect(address.parse().unwrap()),
            expected,
            "{address}"
        );
    }
}

#[test]
fn host_patterns_are_checked() {
    for text in [
        "",
        "*.",
        "a.*.example.org",
        "*example.org",
        "https://a.example",
        "a/b",
        "a.b.",
        "*.10.0.0.1",
        "[::1",
        "user@host",
    ] {
        assert_eq!(
            HostPattern::parse(text).unwrap_err(),
            HostPatternError::Host,
            "{text:?}"
        );
    }
    for text in ["a:", "a:0", "a:65536", "a:+1", "::1", "fe80::1%eth0"] {
        let error = HostPattern::parse(text).unwrap_err();
        assert!(
            error == HostPatternError::Port || text.contains("::"),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn host_patterns_print_what_they_were_parsed_from() {
    for text in [
        "*",
        "*:8443",
        "push.example.org",
        "*.example.org",
        "a.example:8443",
        "*.example.org:1",
        "10.0.0.1",
        "[::1]",
        "[::1]:8443",
    ] {
        assert_eq!(HostPattern::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(
        HostPattern::parse("A.Example:443").unwrap().to_string(),
        "a.example"
    );
}

#[test]
fn push_services_have_distinct_names() {
    let names: Vec<_> = PushService::ALL
        .iter()
        .map(|service| service.as_str())
        .collect();
    assert_eq!(names, ["fcm", "mozilla", "apple", "wns", "other"]);
}
