use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port that stays the sandbox's own while nobody listens at it: endpoints are there again after
/// an outage, also where the system chose the port.
pub(super) struct Port {
    address: SocketAddr,
    /// Bound to it, and never listening. Linux lets only one of several sockets with
    /// `SO_REUSEADDR` listen, but all be bound; elsewhere there may be none, and the port is free
    /// during an outage.
    _keeper: Option<TcpSocket>,
}

impl Port {
    /// Takes the port and listens there; port 0 takes a free one.
    pub(super) fn claim(address: SocketAddr) -> io::Result<(Self, TcpListener)> {
        let socket = bound(address)?;
        let address = socket.local_addr()?;
        // Before the first one listens: after that it would be refused.
        let keeper = bound(address).ok();
        let listener = socket.listen(BACKLOG)?;
        let port = Self {
            address,
            _keeper: keeper,
        };
        Ok((port, listener))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens again, once the last listener was dropped.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        bound(self.address)?.listen(BACKLOG)
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // On Windows it means that anybody may take the port over.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_port_is_nobody_elses_while_nobody_listens() {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let (port, listener) = Port::claim(free).unwrap();
        let listening = Port::claim(port.address()).err().unwrap();
        assert_eq!(listening.kind(), ErrorKind::AddrInUse);
        drop(listener);
        let other = TcpSocket::new_v4().unwrap();
        let taken = other.bind(port.address()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let listener = port.listen().unwrap();
        assert_eq!(listener.local_addr().unwrap(), port.address());
    }
}
