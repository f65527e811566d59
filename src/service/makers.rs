//! The threads that make certificates: they verify requests and sign, one for each core, and whoever comes first is served
//! first, whichever connection it came on.
//!
//! Nothing else is done here, and none of this on the threads of HTTP, which read and answer: much that is short. A thread
//! that does both has whoever's certificate is durable wait until it is through with all who ask, and one that gets less of
//! the processor than its neighbour has all of its connections wait. On PostgreSQL, with 64 callers on two cores, the slowest
//! hundredth waits a sixth less by this, and a twentieth to an eighth more certificates are made.

use std::future::Future;
use std::io;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use tracing::{Instrument, Span};

use crate::store::priority;

use super::ServiceError;

static MAKERS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(1, usize::from))
        .thread_name("maker")
        .on_thread_start(priority::let_the_writer_go_first)
        .build()
});

/// Begins work, behind everybody's that came before. How much may wait is bounded where requests are let in.
pub(super) fn begin(work: impl Future<Output = ()> + Send + 'static) -> Result<(), ServiceError> {
    let makers = MAKERS.as_ref().map_err(|error| {
        ServiceError::Internal(format!("the threads that make certificates could not be started: {error}"))
    })?;
    makers.spawn(work.instrument(Span::current()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_threads_of_its_own_below_the_writer() {
        let (reply, answer) = oneshot::channel();
        begin(async move {
            let niceness = rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
            reply.send((thread::current().name().map(str::to_owned), niceness)).unwrap();
        })
        .unwrap();
        let (name, niceness) = answer.await.unwrap();
        let ours = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(name.as_deref(), Some("maker"));
        assert!(niceness > ours, "{niceness} and {ours}");
    }

    #[tokio::test]
    async fn work_that_panics_harms_no_other() {
        let (lost, nothing) = oneshot::channel::<()>();
        begin(async move {
            let _lost = lost;
            panic!("on purpose");
        })
        .unwrap();
        assert!(nothing.await.is_err());
        let (reply, answer) = oneshot::channel();
        begin(async move { reply.send(7).unwrap() }).unwrap();
        assert_eq!(answer.await, Ok(7));
    }
}
