//! Who goes first where there are fewer cores than threads that are ready.

/// Of the threads that serve and sign: a tenth of the weight of those that write.
const NICENESS: i32 = 10;

/// Called on a thread that takes as much of the processor as there is. All of those wait for the one that writes, and for a
/// database that may be on this machine: these must not be kept waiting by a core that is busy.
pub fn let_the_writer_go_first() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
