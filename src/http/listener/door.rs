//! How the listening socket is closed so that nobody who stands at it is lost.
//!
//! A client is connected as soon as the kernel has finished the handshake, and may have sent its request before anybody
//! accepts it; closing a listening socket resets all of these. So first the kernel is told to pass over whoever begins a
//! handshake now, by a filter on the socket; who is in the queue is accepted as ever; and when nobody has come for a
//! moment, nobody can, and the socket may be closed. Who was passed over asks again after a second, as TCP does with a
//! packet that was lost, and is then refused by a closed port, or taken by the next process: nothing was sent yet.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// For handshakes that had begun: their last packet is this long on its way at most.
const QUIET_FOR: Duration = Duration::from_millis(250);
/// Nobody is waited for longer than this, should those who serve be too busy to accept.
const LONGEST: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Another handle on a socket that somebody else listens on.
pub struct Door(TcpListener);

impl Door {
    pub fn of(listener: &TcpListener) -> io::Result<Self> {
        listener.try_clone().map(Self)
    }

    /// Lets nobody in any more, and returns when everybody who stood at the door has been let in.
    pub async fn shut(self) {
        if let Err(error) = pass_over_newcomers(&self.0) {
            tracing::debug!(%error, "who connects at the end may be reset");
        }
        let begun = Instant::now();
        let mut quiet_since = begun;
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while quiet_since.elapsed() < QUIET_FOR && begun.elapsed() < LONGEST {
            look.tick().await;
            if somebody_waits(&self.0) {
                quiet_since = Instant::now();
            }
        }
    }
}

/// A listening socket can be read from while its queue holds somebody.
fn somebody_waits(listener: &TcpListener) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut looked_at = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut looked_at, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Drops what has SYN set, and nothing else: the packets that end a handshake, and those of connections that were made
/// from this socket and inherit its filter, go through.
#[cfg(target_os = "linux")]
fn pass_over_newcomers(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // Of classic BPF (the kernel's "Linux Socket Filtering"): load an octet, jump if it has bits, return. For TCP the
    // packet begins with the TCP header.
    const LOAD_OCTET: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FLAGS_OF_TCP: u32 = 13;
    const SYN: u32 = 0x02;
    const NOTHING_OF_IT: u32 = 0;
    const ALL_OF_IT: u32 = u32::MAX;

    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_OCTET, 0, 0, FLAGS_OF_TCP),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, NOTHING_OF_IT),
        SockFilter::new(RETURN, 0, 0, ALL_OF_IT),
    ])
}

#[cfg(not(target_os = "linux"))]
fn pass_over_newcomers(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn it_shuts_when_everybody_in_the_queue_was_let_in_and_nobody_new_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        waiting.write_all(b"request").unwrap();

        let mut shut = Box::pin(Door::of(&listener).unwrap().shut());
        let waited = tokio::time::timeout(4 * QUIET_FOR, &mut shut).await;
        assert!(waited.is_err(), "somebody is in the queue");
        let newcomer = TcpStream::connect_timeout(&address, QUIET_FOR);
        assert_eq!(newcomer.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (mut accepted, _) = listener.accept().unwrap();
        shut.await;
        drop(listener);
        let mut heard = [0; 7];
        accepted.read_exact(&mut heard).unwrap();
        accepted.write_all(b"answer").unwrap();
        drop(accepted);
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).unwrap();
        assert_eq!((&heard, answer.as_str()), (b"request", "answer"));
        let refused = TcpStream::connect(address);
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
