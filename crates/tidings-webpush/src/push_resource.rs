use std::fmt;

use thiserror::Error;
use url::{Host, Position, Url};

use crate::PushService;

/// Most octets of a push resource URL. The longest real ones have some hundreds.
const MAX_URL_BYTES: usize = 2048;

/// The URL that push messages for one subscription are sent to by `POST`; the `endpoint` of a
/// subscription.
///
/// It is a secret: whoever knows it can send (RFC 8030 §8.3). `Debug` shows its origin only.
///
/// Parsing looks at the syntax alone. Whether a push resource may be used is for
/// [`Admission`](crate::Admission) to say.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushResource {
    url: Url,
    /// By its host. It is asked for at every step of every delivery.
    push_service: PushService,
}

impl PushResource {
    /// Parses an absolute `http:` or `https:` URL of at most 2048 octets, as it comes and normalised.
    ///
    /// Whatever different URL parsers read differently is refused: user information, fragments,
    /// backslashes, white space, control characters, a host that ends in a dot, missing or extra
    /// slashes. Host and port are normalised; path and query must already be written as browsers
    /// write them, so that they can be sent octet for octet as they came.
    pub fn parse(text: &str) -> Result<Self, PushResourceError> {
        limit_length(text)?;
        if text
            .chars()
            .any(|c| c == '\\' || c.is_whitespace() || c.is_control())
        {
            return Err(PushResourceError::Character);
        }
        let (authority, path_and_query) = split(text)?;
        if authority.contains('@') {
            return Err(PushResourceError::UserInformation);
        }
        let url = Url::parse(text).map_err(PushResourceError::Syntax)?;
        if url.fragment().is_some() {
            return Err(PushResourceError::Fragment);
        }
        if url.domain().is_some_and(|domain| domain.ends_with('.')) {
            return Err(PushResourceError::TrailingDot);
        }
        // In the form that is kept and sent, a host name may be several times as long.
        limit_length(url.as_str())?;
        let push_service = url
            .host()
            .map_or(PushService::Other, |host| PushService::of(&host));
        let resource = Self { url, push_service };
        let rooted = resource.path_and_query();
        if rooted != path_and_query && rooted.strip_prefix('/') != Some(path_and_query) {
            return Err(PushResourceError::NotNormalised);
        }
        // So that building a request cannot fail later.
        if http::Uri::try_from(resource.expose()).is_err() {
            return Err(PushResourceError::NotNormalised);
        }
        Ok(resource)
    }

    /// The URL: host and port normalised, path and query as the browser gave them.
    ///
    /// Spec: RFC 8030 §8.3 on why it is a secret.
    pub fn expose(&self) -> &str {
        self.url.as_str()
    }

    /// Scheme, host, and the port unless it is the scheme's default, with no slash at the end.
    /// This is the `aud` of a VAPID token.
    ///
    /// Spec: RFC 6454 §6.1, RFC 8292 §2.
    pub fn origin(&self) -> &str {
        &self.url[..Position::BeforePath]
    }

    /// Whether the scheme is `https`; it is `http` otherwise.
    pub fn scheme_is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host, parsed: ASCII and lower case, or a literal address.
    pub fn host(&self) -> Host<&str> {
        // An http(s) URL always has a host; no admission rule matches an empty name.
        self.url.host().unwrap_or(Host::Domain(""))
    }

    /// The port, the scheme's default if none is written.
    pub fn port(&self) -> u16 {
        self.url
            .port()
            .unwrap_or(if self.scheme_is_https() { 443 } else { 80 })
    }

    /// What goes into the request line: path and query. For WNS the capability is in the query.
    ///
    /// Spec: RFC 9110 §7.1.
    pub fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..]
    }

    /// Which push service this is, by its host.
    pub fn push_service(&self) -> PushService {
        self.push_service
    }
}

impl fmt::Debug for PushResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PushResource({}/…)", self.origin())
    }
}

fn limit_length(url: &str) -> Result<(), PushResourceError> {
    let got = url.len();
    if got > MAX_URL_BYTES {
        return Err(PushResourceError::TooLong { got });
    }
    Ok(())
}

/// Splits the text into authority and the rest, and insists on `scheme://` with a host behind it,
/// which URL parsers made for browsers do not.
fn split(text: &str) -> Result<(&str, &str), PushResourceError> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or(PushResourceError::NotAbsolute)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(PushResourceError::Scheme);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(end);
    if authority.is_empty() {
        return Err(PushResourceError::NotAbsolute);
    }
    Ok((authority, path_and_query))
}

/// Why a text is not a push resource.
///
/// None of the messages repeats the text: it may be a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PushResourceError {
    /// More than 2048 octets.
    #[error("{got} octets are too long for an endpoint, at most 2048 are taken")]
    TooLong {
        /// Octets found.
        got: usize,
    },
    /// A backslash, white space or a control character.
    #[error(
        "contains a backslash, white space or a control character: send it as the browser gave it"
    )]
    Character,
    /// Not `scheme://host…`.
    #[error("not an absolute URL: send the whole endpoint, beginning with https://")]
    NotAbsolute,
    /// A scheme other than `http` and `https`.
    #[error("not an https: URL")]
    Scheme,
    /// A user name or password in front of the host.
    #[error("contains user information (…@host); no push service gives such an endpoint")]
    UserInformation,
    /// A fragment.
    #[error("contains a fragment (#…); no push service gives such an endpoint")]
    Fragment,
    /// The host ends in a dot.
    #[error("the host ends in a dot; no push service gives such an endpoint")]
    TrailingDot,
    /// Path or query contain dot segments, or characters that a URL must write in `%` form.
    #[error(
        "path or query are not written as browsers write them: no dot segments, special characters as %XX"
    )]
    NotNormalised,
    /// The URL parser's own verdict.
    #[error("not a URL: {0}")]
    Syntax(#[source] url::ParseError),
}
