//! The fake engine as a program: `llem-fake-engine [PORT [BEHAVIOUR]]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    llem_fake_engine::main(std::env::args_os())
}
