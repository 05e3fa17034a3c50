//! Bodies of any length, one JSON value a line (NDJSON): read as they come, in little memory.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::extract::body::{is, is_plain, media_type};
use crate::problem::ApiError;

/// The media type that is asked for; it was never registered.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The other names of the same thing.
const ALIASES: [&str; 4] = [
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
];

/// The most octets of a line.
pub(crate) const MAX_LINE_BYTES: usize = 16 * 1024;

/// How long nothing of a body may arrive. The whole of it may take as long as it takes.
const IDLE: Duration = Duration::from_secs(30);

/// A part of a body ends with so many lines, or with so many octets.
const PART_LINES: usize = 1000;
const PART_BYTES: usize = 512 * 1024;

/// What Windows programs begin UTF-8 files with, and JSON does not.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body of lines that was not read yet.
pub(crate) struct Lines {
    body: Body,
    /// What came of the body and was not handed out.
    rest: BytesMut,
    /// Whether its beginning was looked at.
    begun: bool,
    /// How many lines there were.
    count: u64,
    /// In a line that is too long: thrown away up to its end.
    skipping: bool,
    ended: bool,
    /// Why the body broke, once everything before it was handed out.
    broken: Option<ApiError>,
}

/// A line and its number, from 1 on.
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) text: Result<Bytes, TooLong>,
}

/// The line has more than [`MAX_LINE_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong;

impl<S: Sync> FromRequest<S> for Lines {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let is_taken = |it| is(it, NDJSON) || ALIASES.iter().any(|alias| is(it, alias));
        if !is_plain(&head.headers) || !media_type(&head.headers).is_some_and(is_taken) {
            return Err(ApiError::UnsupportedMediaType { wanted: NDJSON });
        }
        Ok(Self::new(body))
    }
}

impl Lines {
    fn new(body: Body) -> Self {
        Self {
            body,
            rest: BytesMut::new(),
            begun: false,
            count: 0,
            skipping: false,
            ended: false,
            broken: None,
        }
    }

    /// How many lines there were up to now.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The next lines; none at the end. Lines of nothing but white space are counted and left out.
    /// Whole lines that came before the body broke are handed out before that is told.
    pub(crate) async fn next_part(&mut self) -> Result<Vec<Line>, ApiError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        if !self.begun {
            self.skip_byte_order_mark().await?;
            self.begun = true;
        }
        let mut part = Vec::new();
        let mut octets = 0;
        while part.len() < PART_LINES && octets < PART_BYTES {
            let line = match self.next_line().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) if part.is_empty() => return Err(error),
                Err(error) => {
                    self.broken = Some(error);
                    break;
                }
            };
            let text = line.text.as_deref().unwrap_or(b"too long");
            // Those that are left out fill no part either: an empty one would be taken for the end.
            if !text.iter().all(u8::is_ascii_whitespace) {
                octets += text.len();
                part.push(line);
            }
        }
        Ok(part)
    }

    /// At the beginning of the body only.
    async fn skip_byte_order_mark(&mut self) -> Result<(), ApiError> {
        let length = BYTE_ORDER_MARK.len();
        while !self.ended && self.rest.len() < length && BYTE_ORDER_MARK.starts_with(&self.rest) {
            self.read().await?;
        }
        if self.rest.starts_with(BYTE_ORDER_MARK) {
            self.rest.advance(length);
        }
        Ok(())
    }

    async fn next_line(&mut self) -> Result<Option<Line>, ApiError> {
        // What was searched for a line's end already.
        let mut searched = 0;
        loop {
            let found = self.rest.iter().skip(searched).position(|it| *it == b'\n');
            if let Some(end) = found.map(|at| searched + at) {
                let line = self.rest.split_to(end + 1).freeze();
                return Ok(Some(self.number(line.slice(..end))));
            }
            if self.ended {
                let line = self.rest.split().freeze();
                let nothing = line.is_empty() && !self.skipping;
                return Ok((!nothing).then(|| self.number(line)));
            }
            if self.rest.len() > MAX_LINE_BYTES {
                self.skipping = true;
                self.rest.clear();
            }
            searched = self.rest.len();
            self.read().await?;
        }
    }

    fn number(&mut self, line: Bytes) -> Line {
        self.count += 1;
        let is_rest = std::mem::take(&mut self.skipping);
        let fits = line.len() <= MAX_LINE_BYTES && !is_rest;
        Line {
            number: self.count,
            text: fits.then_some(line).ok_or(TooLong),
        }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        let next = tokio::time::timeout(IDLE, self.body.frame()).await;
        match next.map_err(|_| ApiError::BodyTimeout)? {
            None => self.ended = true,
            Some(frame) => {
                let frame = frame.map_err(|_| ApiError::BodyInterrupted)?;
                if let Some(octets) = frame.data_ref() {
                    self.rest.extend_from_slice(octets);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    /// All lines of a body that comes in these pieces.
    async fn read(pieces: Vec<Vec<u8>>) -> Vec<(u64, Result<Vec<u8>, TooLong>)> {
        let pieces = pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
        let mut lines = Lines::new(Body::from_stream(stream::iter(pieces)));
        let mut all = Vec::new();
        loop {
            let part = lines.next_part().await.unwrap();
            if part.is_empty() {
                return all;
            }
            assert!(part.len() <= PART_LINES);
            let part = part.into_iter();
            all.extend(part.map(|line| (line.number, line.text.map(|it| it.to_vec()))));
        }
    }

    #[tokio::test]
    async fn lines_are_numbered_and_empty_ones_left_out() {
        let lines = read(vec![b"a\n\n  \r\nb\r\n".to_vec(), b"c".to_vec()]).await;
        let expected = [(1, "a"), (4, "b\r"), (5, "c")];
        let expected = expected.map(|(number, text)| (number, Ok(text.as_bytes().to_vec())));
        assert_eq!(lines, expected);
        assert!(read(Vec::new()).await.is_empty());
    }

    #[tokio::test]
    async fn a_byte_order_mark_at_the_beginning_is_skipped() {
        let longest = vec![b'x'; MAX_LINE_BYTES];
        let cases: [(&[u8], &[&[u8]]); 6] = [
            (b"\xef\xbb\xbfa\nb", &[b"a", b"b"]),
            (b"\xef\xbb\xbf", &[]),
            (b"\xef\xbb", &[b"\xef\xbb"]),
            (b"a\n\xef\xbb\xbfb", &[b"a", b"\xef\xbb\xbfb"]),
            (b"\xef\xbb\xbf\xef\xbb\xbfa", &[b"\xef\xbb\xbfa"]),
            (&[b"\xef\xbb\xbf", &longest[..]].concat(), &[&longest]),
        ];
        for (body, expected) in cases {
            for size in [1, 2, 20_000] {
                let lines = read(body.chunks(size).map(<[u8]>::to_vec).collect()).await;
                let texts = lines.into_iter().map(|(_, text)| text);
                let expected = expected.iter().map(|text| Ok(text.to_vec()));
                assert!(texts.eq(expected), "{body:?} in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn more_empty_lines_than_a_part_holds_are_no_end() {
        let mut empty = vec![b' '; MAX_LINE_BYTES - 1];
        empty.push(b'\n');
        let count = PART_BYTES / empty.len() + 2;
        let mut pieces = vec![empty; count];
        pieces.push(b"last".to_vec());
        let expected = [(count as u64 + 1, Ok(b"last".to_vec()))];
        assert_eq!(read(pieces).await, expected);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_told_and_the_next_one_read() {
        let most = vec![b'x'; MAX_LINE_BYTES];
        let over = vec![b'y'; MAX_LINE_BYTES + 1];
        let huge = vec![b'z'; 1024 * 1024];
        let body = [&most[..], &over, &huge, b"last"].join(&b'\n');
        for size in [7, 8 * 1024, body.len()] {
            let pieces = body.chunks(size).map(<[u8]>::to_vec).collect();
            let expected = [
                (1, Ok(most.clone())),
                (2, Err(TooLong)),
                (3, Err(TooLong)),
                (4, Ok(b"last".to_vec())),
            ];
            assert!(read(pieces).await == expected, "pieces of {size}");
        }
    }

    #[tokio::test]
    async fn a_long_last_line_without_an_end_is_told() {
        let pieces = vec![vec![b'x'; MAX_LINE_BYTES + 1], vec![b'x'; 9]];
        assert_eq!(read(pieces).await, [(1, Err(TooLong))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_given_up() {
        let mut lines = Lines::new(Body::from_stream(stream::pending::<
            Result<Bytes, axum::Error>,
        >()));
        assert!(matches!(
            lines.next_part().await,
            Err(ApiError::BodyTimeout)
        ));
    }

    #[tokio::test]
    async fn lines_before_a_break_are_handed_out() {
        let pieces = [Ok("a\nb\nc"), Err("gone")];
        let mut lines = Lines::new(Body::from_stream(stream::iter(pieces)));
        let part = lines.next_part().await.unwrap();
        assert_eq!(part.len(), 2, "half a line is none");
        assert!(matches!(
            lines.next_part().await,
            Err(ApiError::BodyInterrupted)
        ));
    }

    proptest! {
        #[test]
        fn the_pieces_a_body_comes_in_do_not_matter(
            body in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'a')], 0..60),
            size in 1..20_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let pieces = body.chunks(size).map(<[u8]>::to_vec).collect();
            let lines = runtime.block_on(read(pieces));
            let expected: Vec<_> = body
                .split(|octet| *octet == b'\n')
                .zip(1..)
                .filter(|(line, _)| line.contains(&b'a'))
                .map(|(line, number)| (number, Ok(line.to_vec())))
                .collect();
            prop_assert_eq!(lines, expected);
        }
    }
}
