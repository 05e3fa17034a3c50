//! A server that answers what a test says, when it says it: for failures at moments at which the real
//! one cannot be made to fail.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{binary::command, wait::DEADLINE};

pub(crate) struct Scripted {
    origin: String,
    requests: Receiver<Result<Request>>,
}

/// A request that waits for its answer. Dropped, its connection breaks.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
    peer: TcpStream,
}

impl Scripted {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (to, requests) = mpsc::channel();
        // It ends with the test's process.
        thread::spawn(move || {
            for peer in listener.incoming() {
                let read = peer.map_err(Into::into).and_then(Request::read);
                if to.send(read).is_err() {
                    return;
                }
            }
        });
        Ok(Self { origin, requests })
    }

    /// A command that talks to it.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = command(name);
        command
            .env("TIDINGS_URL", &self.origin)
            .env("TIDINGS_TOKEN", "a token");
        command
    }

    /// The next request, once it has come.
    pub(crate) fn request(&self) -> Result<Request> {
        let request = self.requests.recv_timeout(DEADLINE);
        request.context("no request came")?
    }
}

impl Request {
    fn read(peer: TcpStream) -> Result<Self> {
        let mut from = BufReader::new(&peer);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            from.read_line(&mut head)?;
        }
        let length = header(&head, "content-length").map_or(Ok(0), str::parse)?;
        let mut body = String::new();
        from.take(length).read_to_string(&mut body)?;
        Ok(Self { head, body, peer })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn answer(mut self, status: u16, body: &Value) -> Result<()> {
        let body = body.to_string();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} \r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        Ok(self.peer.write_all((head + &body).as_bytes())?)
    }

    /// Begins an answer that has no end before it is told.
    pub(crate) fn begin_answer(mut self) -> Result<Answer> {
        let head = "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n";
        self.peer.write_all(head.as_bytes())?;
        Ok(Answer(self.peer))
    }
}

/// An answer that was begun. Dropped, it breaks off.
pub(crate) struct Answer(TcpStream);

impl Answer {
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        Ok(write!(self.0, "{:x}\r\n{text}\r\n", text.len())?)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value)
}
