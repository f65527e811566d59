//! The program: everything it does is in the library's `cli`.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Memory is overwritten when it is freed. Secrets have types that see to that, but on their way in and out they pass
/// through buffers of the network, of parsers and of other libraries, which do not. The allocator below it keeps threads apart.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    countersign::cli::main()
}
