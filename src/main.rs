//! The program: everything it does is in the library's `cli`.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Memory is overwritten when it is freed. Secrets have types that see to that, but on their way in and out they pass
/// through buffers of the network, of parsers and of other libraries, which do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    countersign::cli::main()
}
