use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;
use url::Host;

use crate::personality::{Personality, PersonalityError};

/// How many push services one sandbox plays at most, besides the two listeners every sandbox has.
pub(crate) const MAX_SERVICES: usize = 32;

/// One of several push services that a sandbox plays at once: a TLS listener of its own whose
/// endpoints have a host of their own.
///
/// With the host name of the real push service, an application server takes it for that one. It
/// then needs to be told where the name leads and which port is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayedService {
    /// Whose limits and answers.
    pub personality: Personality,
    /// The host in its endpoints; `None` is the one that the real push service has, or for
    /// [`Personality::Plain`] the sandbox's public host.
    pub host: Option<Host>,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl PlayedService {
    pub(crate) fn host_or(&self, public_host: &Host) -> Host {
        let own = || {
            self.personality
                .real_host()
                .map(|host| Host::Domain(host.to_owned()))
        };
        self.host
            .clone()
            .or_else(own)
            .unwrap_or_else(|| public_host.clone())
    }
}

impl FromStr for PlayedService {
    type Err = PlayedServiceError;

    /// Reads `PERSONALITY[@HOST]=ADDRESS`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, listen) = text.split_once('=').ok_or(PlayedServiceError::Form)?;
        let (personality, host) = match name.split_once('@') {
            Some((personality, host)) => (personality, Some(parse_host(host)?)),
            None => (name, None),
        };
        Ok(Self {
            personality: personality.parse()?,
            host,
            listen: listen.parse().map_err(|_| PlayedServiceError::Address {
                address: listen.to_owned(),
            })?,
        })
    }
}

/// Reads a host without port; IPv6 addresses with or without brackets.
fn parse_host(text: &str) -> Result<Host, PlayedServiceError> {
    let bare = text.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Ok(Host::Ipv4(address)),
        Ok(IpAddr::V6(address)) => Ok(Host::Ipv6(address)),
        Err(_) => Host::parse(text).map_err(|_| PlayedServiceError::Host {
            host: text.to_owned(),
        }),
    }
}

/// Why a text names no push service to play.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlayedServiceError {
    /// There is no `=`.
    #[error("write it like fcm=127.0.0.1:9001 or plain@push.example.org=127.0.0.1:9002")]
    Form,
    /// The text before the host is no personality.
    #[error(transparent)]
    Personality(#[from] PersonalityError),
    /// The text behind the `@` is no host.
    #[error("{host:?} is neither a host name nor an address: give it without port")]
    Host {
        /// What was given.
        host: String,
    },
    /// The text behind the `=` is no address with port.
    #[error("{address:?} is not an address with port, like 127.0.0.1:9001 (port 0: a free one)")]
    Address {
        /// What was given.
        address: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_personality_perhaps_a_host_and_an_address() {
        let public = Host::Domain("localhost".to_owned());
        for (text, host) in [
            ("fcm=127.0.0.1:9001", "fcm.googleapis.com"),
            ("mozilla=127.0.0.1:0", "updates.push.services.mozilla.com"),
            ("apple=[::1]:9001", "web.push.apple.com"),
            ("wns=127.0.0.1:1", "db5p.notify.windows.com"),
            ("plain=127.0.0.1:1", "localhost"),
            ("plain@Push.Example=127.0.0.1:1", "push.example"),
            ("fcm@::1=127.0.0.1:1", "[::1]"),
        ] {
            let service: PlayedService = text.parse().unwrap();
            assert_eq!(service.host_or(&public).to_string(), host, "{text}");
        }
    }

    #[test]
    fn nonsense_says_how_to_write_it() {
        for (text, hint) in [
            ("fcm", "fcm=127.0.0.1:9001"),
            ("gcm=127.0.0.1:9001", "use fcm"),
            ("fcm=127.0.0.1", "with port"),
            ("fcm=localhost:9001", "with port"),
            ("fcm@a b=127.0.0.1:9001", "without port"),
            ("fcm@push.example:1=127.0.0.1:9001", "without port"),
        ] {
            let error = text.parse::<PlayedService>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn the_real_hosts_are_recognised_as_what_they_are() {
        for personality in Personality::ALL {
            let Some(host) = personality.real_host() else {
                continue;
            };
            let endpoint = format!("https://{host}:9001/wpush/v1/a");
            let resource = tidings_webpush::PushResource::parse(&endpoint).unwrap();
            assert_eq!(resource.push_service(), personality.push_service());
        }
    }
}
