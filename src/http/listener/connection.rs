//! One connection of a client, ended when the client lets us wait.
//!
//! actix watches the head of a connection's first request and the pause between two requests. It watches neither later
//! heads, which may trickle in, nor clients that take no more of an answer, and HTTP/2 clients may hold a connection as
//! long as they answer pings. So the socket itself is watched here, below TLS.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::registry::Place;

/// How long we may take over a piece of an answer: longer than any read lasts.
const NEXT_PIECE: Duration = Duration::from_secs(120);

/// How long clients may let us wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the rest of a request's head once it has begun, for its body, and for taking more of an answer.
    pub client: Duration,
    /// For the next request.
    pub idle: Duration,
}

/// How long each other answer of the same connection may keep one waiting: its piece goes first, at the slowest pace.
const TURN: Duration = Duration::from_secs(2);

/// How many other answers can be before one at all: no more requests of a connection than these are worked on at once.
const TURNS: u32 = 128;
/// Requests of one HTTP/2 connection that are worked on, or whose answers wait: no client means to have so many. Those whose
/// answers went into a socket of which nothing is taken count too, until something is.
const MOST_AT_ONCE: u32 = 1024;

/// How long a connection without work is kept while the server stops. Whoever keeps it for the next request, as proxies do,
/// and sends that now, gets an answer with `Connection: close`, and knows; to close it at once is to lose the request that
/// is on its way.
const GRACE: Duration = Duration::from_secs(1);
/// The same for a request whose first octets have arrived.
const GRACE_OF_A_HEAD: Duration = Duration::from_secs(5);
/// How long octets that nobody will read are waited for at a connection's end.
const LINGER: Duration = Duration::from_millis(500);
/// How soon to look again at a connection that was to end, and for which something has just arrived.
const ARRIVING: Duration = Duration::from_millis(10);

/// What is known of a connection, for those who look after all of them and for the requests on it.
pub struct Connection {
    patience: Patience,
    /// Whether it is HTTP/2, whose clients also send what belongs to no request.
    is_multiplexed: Cell<bool>,
    /// Requests that are worked on, and answers that are not taken yet: long ones, and with HTTP/2 any that has a body.
    in_work: Cell<u32>,
    /// Requests that came since the client stopped taking what we send.
    while_blocked: Cell<u32>,
    free_since: Cell<Instant>,
    /// When the first octets of a head arrived.
    head_since: Cell<Option<Instant>>,
    /// When the client stopped taking what we send.
    blocked_since: Cell<Option<Instant>>,
    /// When the client last took a piece of each long answer. HTTP/2 clients can leave one where it is, and the socket
    /// free or busy with the others.
    taken: RefCell<Vec<Rc<Cell<Instant>>>>,
    /// Since when the server stops.
    closing_since: Cell<Option<Instant>>,
    must_look_again: Cell<bool>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Why a connection was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// No request came, or none that was completed.
    Idle,
    /// The client took nothing of an answer.
    Stalled,
}

impl Connection {
    pub(super) fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            is_multiplexed: Cell::new(false),
            in_work: Cell::new(0),
            while_blocked: Cell::new(0),
            free_since: Cell::new(now),
            head_since: Cell::new(None),
            blocked_since: Cell::new(None),
            taken: RefCell::default(),
            closing_since: Cell::new(None),
            must_look_again: Cell::new(false),
            ended: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// A request has arrived; the connection is at work until the guard goes.
    pub fn begin(self: &Rc<Self>) -> Work {
        self.head_since.set(None);
        self.in_work.set(self.in_work.get() + 1);
        if self.is_multiplexed.get() {
            // Each costs memory until its answer is taken, however short that is, and h2 reads on and on.
            if self.blocked_since.get().is_some() {
                self.while_blocked.set(self.while_blocked.get() + 1);
            }
            if self.in_work.get().saturating_add(self.while_blocked.get()) > MOST_AT_ONCE {
                self.end();
            }
        }
        Work(Rc::clone(self))
    }

    pub(super) fn set_multiplexed(&self) {
        self.is_multiplexed.set(true);
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.is_multiplexed.get()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing_since.get().is_some()
    }

    /// Since when nothing is worked on; `None` while something is, or when the end was told already.
    pub(super) fn free_since(&self) -> Option<Instant> {
        (self.in_work.get() == 0 && !self.ended.get()).then(|| self.free_since.get())
    }

    /// Ends it as if the client had.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    /// Has it end once nothing is worked on any more, and nothing has come for a while.
    pub(super) fn close(&self) {
        if self.closing_since.get().is_none() {
            self.closing_since.set(Some(Instant::now()));
        }
        self.must_look_again.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Why it ends now, or when to look again.
    fn verdict(&self, now: Instant) -> Result<Instant, End> {
        let look_again = now + self.patience.client;
        if let Some(since) = self.blocked_since.get() {
            let end = since + self.patience.client;
            return if end <= now { Err(End::Stalled) } else { Ok(end) };
        }
        if let Some(end) = self.answers_end() {
            return if end <= now { Err(End::Stalled) } else { Ok(end.min(look_again)) };
        }
        if self.in_work.get() > 0 {
            return Ok(look_again);
        }
        let head = self.head_since.get();
        let end = match (self.closing_since.get(), head) {
            (None, None) => self.free_since.get() + self.patience.idle,
            (None, Some(head)) => (self.free_since.get() + self.patience.idle).min(head + self.patience.client),
            (Some(closing), None) => self.free_since.get().max(closing) + GRACE,
            (Some(closing), Some(head)) => head.max(closing) + GRACE_OF_A_HEAD.min(self.patience.client),
        };
        if end <= now { Err(End::Idle) } else { Ok(end.min(look_again)) }
    }

    /// When the answer that has waited longest has waited too long.
    fn answers_end(&self) -> Option<Instant> {
        let taken = self.taken.borrow();
        let longest = taken.iter().map(|taken| taken.get()).min()?;
        let others = u32::try_from(taken.len() - 1).unwrap_or(u32::MAX).min(TURNS);
        Some(longest + self.patience.client + TURN.saturating_mul(others))
    }

    fn has_read(&self) {
        if self.in_work.get() == 0 && !self.is_multiplexed.get() && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    fn is_blocked(&self, blocked: bool) {
        if blocked != self.blocked_since.get().is_some() {
            self.blocked_since.set(blocked.then(Instant::now));
            self.while_blocked.set(0);
        }
    }
}

/// A request that is worked on.
pub struct Work(Rc<Connection>);

impl Work {
    /// The work has become an answer that the client takes piece by piece.
    pub fn answering(self) -> Answering {
        let taken = Rc::new(Cell::new(Instant::now()));
        self.0.taken.borrow_mut().push(Rc::clone(&taken));
        Answering { work: self, taken }
    }

    /// How many more are worked on, on the same connection.
    pub fn others(&self) -> u32 {
        self.0.in_work.get().saturating_sub(1)
    }

    pub fn patience(&self) -> Patience {
        self.0.patience
    }

    /// Whether it came over HTTP/2.
    pub fn is_multiplexed(&self) -> bool {
        self.0.is_multiplexed()
    }

    /// How many answers of the same connection its client has not taken.
    pub fn answers_that_wait(&self) -> usize {
        self.0.taken.borrow().len()
    }

    /// Ends the whole connection: its client leaves more where it is than there is room for.
    pub fn end_connection(&self) {
        self.0.end();
    }
}

/// A long answer that is being taken.
pub struct Answering {
    work: Work,
    taken: Rc<Cell<Instant>>,
}

impl Answering {
    /// The client has room for the next piece.
    pub fn goes_on(&self) {
        self.taken.set(Instant::now());
    }

    /// The next piece is not there yet: that is no fault of the client's.
    pub fn waits_for_us(&self) {
        self.taken.set(Instant::now() + NEXT_PIECE);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.work.0.taken.borrow_mut().retain(|taken| !Rc::ptr_eq(taken, &self.taken));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.in_work.set(connection.in_work.get().saturating_sub(1));
        connection.free_since.set(Instant::now());
        if connection.is_closing() {
            connection.close();
        }
    }
}

/// The socket of a connection.
pub struct Watched<IO> {
    io: IO,
    place: Place,
    timer: Pin<Box<Sleep>>,
    /// Whether the client was told that nothing more comes.
    has_said_all: bool,
}

impl<IO: AsFd> Watched<IO> {
    pub(super) fn new(io: IO, place: Place) -> Self {
        let first_look = Instant::now() + place.connection().patience.client;
        Self { io, place, timer: Box::pin(sleep_until(first_look.into())), has_said_all: false }
    }

    pub(super) fn connection(&self) -> &Rc<Connection> {
        self.place.connection()
    }

    /// Pending until the connection is to end. One timer serves all limits: it is set anew only when it has gone off, not
    /// with every request.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let connection = self.place.connection();
        {
            let mut waker = connection.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
        }
        if connection.must_look_again.take() {
            self.timer.as_mut().reset(Instant::now().into());
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            match connection.verdict(Instant::now()) {
                Ok(look_again) => self.timer.as_mut().reset(look_again.into()),
                // The kernel has what tokio has not told of yet.
                Err(End::Idle) if has_unread(&self.io) => self.timer.as_mut().reset((Instant::now() + ARRIVING).into()),
                Err(end) => {
                    if !connection.ended.replace(true) {
                        self.place.ended(end);
                    }
                    return Poll::Ready(end);
                }
            }
        }
    }
}

fn has_unread(io: &impl AsFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut looked_at = [PollFd::new(io, PollFlags::IN)];
    poll(&mut looked_at, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

impl<IO: AsyncRead + AsFd + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Nothing more comes: actix and h2 then end the connection by themselves.
        if this.connection().ended.get() {
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.io).poll_read(context, into) {
            if into.filled().len() > before {
                this.connection().has_read();
            }
            return Poll::Ready(read);
        }
        match ready!(this.wait(context)) {
            End::Idle => Poll::Ready(Ok(())),
            End::Stalled => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<IO: AsyncRead + AsFd + Unpin> Watched<IO> {
    /// Throws away what still comes, until the client ends too or nothing more is to be waited for. To close a socket with
    /// octets that nobody has read is to reset it, and a reset takes from the client what it has not read of our answer.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 4096];
        loop {
            let mut into = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.io).poll_read(context, &mut into) {
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(context),
            }
        }
    }
}

impl<IO: AsyncWrite + AsFd + Unpin> Watched<IO> {
    /// What a write came to; one that waits does so no longer than the client may let it.
    fn written<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.connection().is_blocked(written.is_pending());
        if written.is_ready() {
            return written;
        }
        match ready!(self.wait(context)) {
            End::Stalled => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            End::Idle => Poll::Pending,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + AsFd + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, from);
        this.written(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(context, from);
        this.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_said_all {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
            this.has_said_all = true;
            this.timer.as_mut().reset((Instant::now() + LINGER).into());
        }
        // One that was ended for its silence has no answer to lose, and its place is wanted.
        if !this.connection().ended.get() {
            ready!(this.linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { client: Duration::from_secs(30), idle: Duration::from_secs(75) };

    fn connection() -> (Rc<Connection>, Instant) {
        let now = Instant::now();
        (Rc::new(Connection::new(PATIENCE, now)), now)
    }

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_connection_ends_when_no_request_came() {
        let (connection, now) = connection();
        assert_eq!(connection.verdict(after(now, 1)), Ok(after(now, 31)));
        assert_eq!(connection.verdict(after(now, 74)), Ok(after(now, 75)));
        assert_eq!(connection.verdict(after(now, 75)), Err(End::Idle));
    }

    #[test]
    fn a_head_that_has_begun_is_waited_for_less_long() {
        let (connection, now) = connection();
        connection.has_read();
        assert_eq!(connection.verdict(after(now, 29)).map(drop), Ok(()));
        assert_eq!(connection.verdict(after(now, 31)), Err(End::Idle));
        connection.set_multiplexed();
        let work = connection.begin();
        assert!(connection.verdict(after(now, 500)).is_ok());
        drop(work);
        connection.has_read();
        assert!(connection.verdict(after(now, 31)).is_ok(), "a frame of HTTP/2 is no head");
    }

    #[test]
    fn a_client_that_takes_nothing_is_not_waited_for_though_there_is_work() {
        let (connection, now) = connection();
        let _work = connection.begin();
        connection.is_blocked(true);
        assert_eq!(connection.verdict(after(now, 31)), Err(End::Stalled));
        connection.is_blocked(false);
        assert!(connection.verdict(after(now, 31)).is_ok());
    }

    #[test]
    fn a_long_answer_is_to_be_taken_piece_by_piece() {
        let (connection, now) = connection();
        let answering = connection.begin().answering();
        assert!(connection.verdict(after(now, 29)).is_ok());
        assert_eq!(connection.verdict(after(now, 31)), Err(End::Stalled));
        drop(answering);
        assert!(connection.verdict(after(now, 31)).is_ok());
        assert_eq!(connection.in_work.get(), 0);
    }

    #[test]
    fn an_answer_that_is_left_where_it_is_is_not_kept_by_those_that_move() {
        let (connection, now) = connection();
        let [left, moving] = [(); 2].map(|()| connection.begin().answering());
        moving.taken.set(after(now, 30));
        assert!(connection.verdict(after(now, 31)).is_ok(), "the other's piece may have gone first");
        moving.taken.set(after(now, 60));
        assert_eq!(connection.verdict(after(now, 33)), Err(End::Stalled));
        drop(left);
        assert!(connection.verdict(after(now, 33)).is_ok());
    }

    #[test]
    fn an_answer_that_we_are_still_making_is_not_waited_for_in_vain() {
        let (connection, now) = connection();
        let answering = connection.begin().answering();
        answering.waits_for_us();
        assert!(connection.verdict(after(now, 120)).is_ok());
        answering.goes_on();
        assert_eq!(connection.verdict(after(now, 32)), Err(End::Stalled));
    }

    #[test]
    fn more_requests_than_anybody_means_end_an_http2_connection() {
        let (connection, _) = connection();
        connection.set_multiplexed();
        let many: Vec<Work> = (0..MOST_AT_ONCE).map(|_| connection.begin()).collect();
        assert!(!connection.ended.get());
        drop(many);
        (0..2 * MOST_AT_ONCE).for_each(|_| drop(connection.begin()));
        assert!(!connection.ended.get(), "one after the other there may be any number");
        connection.is_blocked(true);
        (0..MOST_AT_ONCE / 2).for_each(|_| drop(connection.begin()));
        connection.is_blocked(false);
        connection.is_blocked(true);
        (0..MOST_AT_ONCE).for_each(|_| drop(connection.begin()));
        assert!(connection.ended.get(), "their answers wait in memory, though all are made");
    }

    #[test]
    fn one_that_has_been_idle_is_kept_a_moment_when_the_server_stops() {
        let (connection, now) = connection();
        connection.free_since.set(now.checked_sub(Duration::from_secs(60)).unwrap());
        connection.close();
        let closing = connection.closing_since.get().unwrap();
        assert_eq!(connection.verdict(closing), Ok(closing + GRACE));
        assert_eq!(connection.verdict(closing + GRACE), Err(End::Idle));
        connection.has_read();
        assert!(connection.verdict(closing + GRACE).is_ok(), "the rest of a head is waited for");
        assert_eq!(connection.verdict(after(closing, 10)), Err(End::Idle));
    }

    #[test]
    fn while_the_server_stops_only_work_keeps_a_connection() {
        let (connection, now) = connection();
        let work = connection.begin();
        connection.close();
        assert!(connection.verdict(after(now, 10)).is_ok());
        drop(work);
        assert_eq!(connection.verdict(after(now, 10)), Err(End::Idle));
    }
}
