//! Writes made-up results below a directory: `synthetic-results DIR [large|small|hostile]`.

use std::{io::Write, path::Path, process::ExitCode};

use llem_tests::synthetic::Synthetic;

/// What must stay text wherever it is shown.
const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`${alert(3)}\u{202e}\u{2028}&lt;[]{}.\\";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let large = Synthetic::large();
    let (parent, study) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [parent] | [parent, "large"] => (parent, large),
        [parent, "small"] => (parent, Synthetic { levels: vec![4, 3], ..large }),
        [parent, "hostile"] => {
            let hostile = format!("{HOSTILE}{}", "x".repeat(10_000));
            (parent, Synthetic { levels: vec![3, 2], traced: 4, hostile, ..large })
        }
        _ => return ExitCode::from(2),
    };
    match study
        .write(Path::new(parent))
        .and_then(|it| writeln!(std::io::stdout(), "{}", it.display()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}
