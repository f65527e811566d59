//! The promises, each kept by tests that name it. `service` tests run the services in this process with a clock that
//! the test sets; `server` tests start the real binary.

mod harness;
mod server;

mod audit;
mod faults;
mod isolation;
mod publication;
