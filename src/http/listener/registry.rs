//! All connections of one of actix's threads: so many at once, and whoever comes when the house is full takes the place
//! of the one that has been idle longest.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Instant;

use metrics::{Counter, Gauge};

use super::connection::{Connection, End, Patience};

pub struct Connections {
    patience: Patience,
    room: usize,
    open: RefCell<HashMap<u64, Rc<Connection>>>,
    last: Cell<u64>,
    is_closing: Cell<bool>,
}

impl Connections {
    pub fn new(patience: Patience, room: usize) -> Self {
        let open = RefCell::new(HashMap::new());
        Self { patience, room, open, last: Cell::new(0), is_closing: Cell::new(false) }
    }

    /// A place for a connection that was accepted.
    pub fn admit(self: &Rc<Self>) -> Place {
        if self.open.borrow().len() >= self.room {
            self.end_longest_idle();
        }
        let number = self.last.get() + 1;
        self.last.set(number);
        let connection = Rc::new(Connection::new(self.patience, Instant::now()));
        if self.is_closing.get() {
            connection.close();
        }
        self.open.borrow_mut().insert(number, Rc::clone(&connection));
        Measures::of_process().open.increment(1);
        Place { connections: Rc::clone(self), connection, number }
    }

    /// The server stops: each connection ends once nothing is worked on and nothing comes.
    pub fn close(&self) {
        self.is_closing.set(true);
        self.open.borrow().values().for_each(|connection| connection.close());
    }

    fn end_longest_idle(&self) {
        let open = self.open.borrow();
        let idle = open.values().filter_map(|connection| Some((connection.free_since()?, connection)));
        if let Some((_, connection)) = idle.min_by_key(|(free_since, _)| *free_since) {
            connection.end();
            Measures::of_process().displaced.increment(1);
        }
    }
}

/// A connection's place among the others; it is free again when this goes.
pub struct Place {
    connections: Rc<Connections>,
    connection: Rc<Connection>,
    number: u64,
}

impl Place {
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    pub fn ended(&self, end: End) {
        let measures = Measures::of_process();
        match end {
            End::Idle => measures.idle.increment(1),
            End::Stalled => measures.stalled.increment(1),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.number);
        Measures::of_process().open.decrement(1);
    }
}

struct Measures {
    open: Gauge,
    displaced: Counter,
    idle: Counter,
    stalled: Counter,
}

impl Measures {
    fn of_process() -> &'static Self {
        static MEASURES: OnceLock<Measures> = OnceLock::new();
        let ended = |reason| metrics::counter!("countersign_connections_closed_total", "reason" => reason);
        MEASURES.get_or_init(|| Self {
            open: metrics::gauge!("countersign_connections_open"),
            displaced: ended("displaced"),
            idle: ended("idle"),
            stalled: ended("stalled"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_comes_to_a_full_house_takes_the_place_of_the_longest_idle() {
        let patience = Patience { client: Duration::from_secs(1), idle: Duration::from_secs(1) };
        let connections = Rc::new(Connections::new(patience, 3));
        let [first, second, third] = [(); 3].map(|()| connections.admit());
        let at_work = first.connection().begin();
        assert!(second.connection().free_since().is_some());
        let _fourth = connections.admit();
        assert!(second.connection().free_since().is_none(), "the second was idle longest");
        assert!(third.connection().free_since().is_some());
        drop((at_work, second));
        assert_eq!(connections.open.borrow().len(), 3);
    }
}
