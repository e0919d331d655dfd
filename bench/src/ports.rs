//! Free ports of loopback, and waiting for somebody to listen there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use agentidp_core::dev::Child;
use tokio::net::TcpStream;

use crate::Outcome;

/// How often it is looked whether somebody listens, for 15 seconds in all.
const PAUSE: Duration = Duration::from_millis(25);
const LOOKS: usize = 600;

/// One that nobody listened on a moment ago.
pub(crate) fn free() -> Outcome<u16> {
    Ok(TcpListener::bind(at(0))?.local_addr()?.port())
}

/// That port of loopback.
pub(crate) fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Done when somebody listens; an error with what it said when it ended instead.
pub(crate) async fn wait(port: u16, child: &mut Child, log: &Path) -> Outcome<()> {
    for _ in 0..LOOKS {
        if TcpStream::connect(at(port)).await.is_ok() {
            return Ok(());
        }
        if child.has_ended() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    Err(format!("nobody listens on port {port}: {said}").into())
}
