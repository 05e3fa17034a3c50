use thiserror::Error;
use url::{Host, Url};

/// Name suffixes that no push service can reach; Apple refuses tokens over them
/// (`BadJwtToken`, reported in public issue threads).
const UNREACHABLE: [&str; 4] = ["local", "localhost", "invalid", "test"];

/// Where a push service can reach the operator: the `sub` of a VAPID token.
///
/// Spec: RFC 8292 §2.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Contact {
    text: Box<str>,
}

impl Contact {
    /// Takes a `mailto:` address or an `https:` URL whose host is a public name.
    ///
    /// The rules are those of the strictest push service, Apple.
    pub fn parse(text: &str) -> Result<Self, ContactError> {
        if !text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>'))
        {
            return Err(ContactError::Character);
        }
        let (scheme, rest) = text.split_once(':').ok_or(ContactError::Scheme)?;
        let host = match scheme {
            "mailto" => mail_host(rest)?,
            "https" => url_host(text)?,
            _ => return Err(ContactError::Scheme),
        };
        check_host(&host)?;
        Ok(Self { text: text.into() })
    }

    /// The URI as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn mail_host(address: &str) -> Result<Host, ContactError> {
    let (mailbox, host) = address.rsplit_once('@').ok_or(ContactError::Address)?;
    if mailbox.is_empty() || mailbox.contains(['@', ',', '?']) {
        return Err(ContactError::Address);
    }
    Host::parse(host).map_err(|_| ContactError::Address)
}

fn url_host(text: &str) -> Result<Host, ContactError> {
    let url = Url::parse(text).map_err(|_| ContactError::Url)?;
    url.host()
        .map(|host| host.to_owned())
        .ok_or(ContactError::Url)
}

fn check_host(host: &Host) -> Result<(), ContactError> {
    let Host::Domain(name) = host else {
        return Err(ContactError::Unreachable);
    };
    let (_, last_label) = name.rsplit_once('.').ok_or(ContactError::Unreachable)?;
    if last_label.is_empty() || UNREACHABLE.contains(&last_label) {
        return Err(ContactError::Unreachable);
    }
    Ok(())
}

/// Why a contact was refused.
///
/// Spec: RFC 8292 §2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContactError {
    /// White space, angle brackets, or a character outside ASCII.
    #[error(
        "the contact has a space, an angle bracket or a character outside ASCII: write mailto:name@example.org without a display name"
    )]
    Character,
    /// Neither `mailto:` nor `https:`.
    #[error("the contact begins with neither mailto: nor https: (in lower case)")]
    Scheme,
    /// Not one mail address.
    #[error("the contact is not one mail address: write mailto:name@example.org")]
    Address,
    /// Not a URL.
    #[error("the contact is not a URL: write https://example.org/contact")]
    Url,
    /// The host cannot be reached from the internet.
    #[error(
        "the contact's host is not a public name: push services refuse addresses, names without a dot, and .local, .localhost, .invalid and .test"
    )]
    Unreachable,
}
