use tidings_webpush::{Contact, ContactError};

#[test]
fn contacts_that_push_services_can_reach_are_taken_as_they_are() {
    for text in [
        "mailto:push@example.org",
        "mailto:ops+push@mail.example.co.uk",
        "https://example.org",
        "https://host.tailnet.ts.net/contact?x=1",
        "https://github.com/example/project",
    ] {
        assert_eq!(Contact::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn contacts_that_apple_refuses_are_refused() {
    let cases = [
        ("", ContactError::Scheme),
        ("push@example.org", ContactError::Scheme),
        ("http://example.org", ContactError::Scheme),
        ("MAILTO:push@example.org", ContactError::Scheme),
        ("mailto: push@example.org", ContactError::Character),
        ("mailto:<push@example.org>", ContactError::Character),
        ("mailto:a<b@example.org", ContactError::Character),
        ("mailto:a>b@example.org", ContactError::Character),
        ("mailto:Ops <push@example.org>", ContactError::Character),
        ("mailto:p\u{fc}sh@example.org", ContactError::Character),
        ("https://example.org/\n", ContactError::Character),
        ("mailto:", ContactError::Address),
        ("mailto:example.org", ContactError::Address),
        ("mailto:@example.org", ContactError::Address),
        ("mailto:a@example.org,b@example.org", ContactError::Address),
        ("mailto:a@b@example.org", ContactError::Address),
        ("mailto:a@exa mple.org", ContactError::Character),
        ("mailto:a@example.org?subject=x", ContactError::Address),
        ("https://", ContactError::Url),
        ("mailto:push@localhost", ContactError::Unreachable),
        ("mailto:push@example", ContactError::Unreachable),
        ("mailto:push@example.org.", ContactError::Unreachable),
        ("mailto:push@host.local", ContactError::Unreachable),
        ("mailto:push@host.LOCALHOST", ContactError::Unreachable),
        ("mailto:push@host.invalid", ContactError::Unreachable),
        ("https://localhost/x", ContactError::Unreachable),
        ("https://intranet/x", ContactError::Unreachable),
        ("https://app.test/x", ContactError::Unreachable),
        ("https://192.168.1.1/x", ContactError::Unreachable),
        ("https://[2606:4700::1]/x", ContactError::Unreachable),
    ];
    for (text, expected) in cases {
        assert_eq!(Contact::parse(text), Err(expected), "{text:?}");
    }
}
