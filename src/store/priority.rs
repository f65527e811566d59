//! Who goes first where there are fewer cores than threads that are ready.

use rustix::process::{getpid, getpriority_process, setpriority_process};
use rustix::thread::gettid;

/// Of the threads that serve and sign, beyond the process's own: a tenth of the weight of those that write.
const NICENESS: i32 = 10;
/// There is no more of it (setpriority(2)).
const NICEST: i32 = 19;

/// Called on a thread that takes as much of the processor as there is. All of those wait for the one that writes, and for a
/// database that may be on this machine: these must not be kept waiting by a core that is busy.
pub fn let_the_writer_go_first() {
    // From the first thread's, which stays as it was started: a new thread has the priority of the one that began it.
    let lowered = getpriority_process(Some(getpid()))
        .and_then(|of_all| setpriority_process(Some(gettid()), of_all.saturating_add(NICENESS).min(NICEST)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
