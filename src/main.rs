//! The `nntrain` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    nntrain::cli::main()
}
