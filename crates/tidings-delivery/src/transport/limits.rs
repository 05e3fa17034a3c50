//! What bounds connections and requests.

use std::time::Duration;

use tidings_webpush::PushService;

/// What bounds connections and requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections to one origin of a known push service.
    pub known: OriginLimits,
    /// Connections to one origin of any other push service: strangers can name as many as they
    /// like.
    pub other: OriginLimits,
    /// Connections to all origins of other push services together.
    pub other_connections: usize,
    /// Of these, how many are being opened at once; to origins that may be inventions, half as many.
    pub other_openings: usize,
    /// Origins that are remembered; the one that was used longest ago makes room.
    pub origins: usize,
    /// From the first look-up of the name to the end of the TLS handshake.
    pub connect: Duration,
    /// How long a request waits until a connection has room for it.
    pub wait: Duration,
    /// From the first octet of the request to the last of the answer's head. The status decides what
    /// becomes of a message, so it is not lost with a body that stalls.
    pub request: Duration,
    /// How long the answer's body is read after that. What has come by then is all there is.
    pub body: Duration,
    /// A connection that was idle for so long is not used again. It is closed with the next
    /// requests, to whomever they go.
    pub idle: Duration,
    /// Octets of an answer's header.
    pub header_bytes: u32,
    /// Octets of an answer's body that are read.
    pub body_bytes: usize,
}

/// What bounds the connections to one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginLimits {
    /// HTTP/2 connections.
    pub http2_connections: usize,
    /// Requests under way on one HTTP/2 connection, if the push service allows as many.
    pub http2_streams: usize,
    /// HTTP/1.1 connections, each with one request under way.
    pub http1_connections: usize,
    /// Connections that are being opened at once.
    pub openings: usize,
}

impl Limits {
    pub(super) fn of(&self, service: PushService) -> OriginLimits {
        match service {
            PushService::Other => self.other,
            _ => self.known,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // At 50 ms from request to answer, 1600 streams are 32 000 requests a second: more
            // than the cryptography makes.
            known: OriginLimits {
                http2_connections: 16,
                http2_streams: 100,
                http1_connections: 16,
                openings: 8,
            },
            other: OriginLimits {
                http2_connections: 4,
                http2_streams: 100,
                http1_connections: 16,
                openings: 2,
            },
            other_connections: 256,
            other_openings: 16,
            origins: 512,
            connect: Duration::from_secs(10),
            wait: Duration::from_secs(30),
            request: Duration::from_secs(30),
            body: Duration::from_secs(5),
            idle: Duration::from_mins(5),
            header_bytes: 16 * 1024,
            body_bytes: 4 * 1024,
        }
    }
}
