//! A server that answers what a test says, when it says it: for failures at moments at which the real
//! one cannot be made to fail.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
};

use anyhow::{Context, Result};

use crate::{binary::command, wait::DEADLINE};

pub(crate) struct Scripted {
    origin: String,
    requests: Receiver<Result<Request>>,
}

/// A request that waits for its answer. Dropped, its connection breaks.
pub(crate) struct Request {
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
        Ok(Self { peer })
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
