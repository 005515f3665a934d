//! Which engines are installed, as the plugins' probes find them, and whether a schema fits.

use std::thread;

use super::Line;
use crate::{diagnostics::Failure, grants::Gate, planning::Backends};

pub(super) fn lines() -> Result<Vec<Line>, Failure> {
    let backends = Backends::new(Gate::new(Vec::new()))?;
    let names = backends.names();
    thread::scope(|scope| {
        let asked: Vec<_> =
            names.iter().map(|name| scope.spawn(|| line(&backends, name))).collect();
        Ok(asked.into_iter().map(|it| it.join().expect("a probe does not panic")).collect())
    })
}

/// A plugin that is broken hides no other.
fn line(backends: &Backends, name: &str) -> Line {
    let found = match backends.installed(name) {
        Ok(found) => found,
        Err(failure) => {
            return Line::warning(name, failure.text())
                .fix(format!("llem plugin verify {name}; llem plugin test {name}"));
        }
    };
    let Some(chosen) = found else { return Line::good(name, "linked into llem") };
    match (&chosen.installed, &chosen.note) {
        (Some(version), None) => Line::good(name, format!("{version}, schema {}", chosen.id)),
        (_, Some(note)) => Line::warning(name, note.clone()).fix(format!(
            "install a version that a schema is for, or accept it with `release = \"{}\"` in the study's plugin table",
            chosen.id
        )),
        (None, None) => Line::note(name, "not installed").fix(
            "install it, or name its environment with `venv`, or its image with `image`, in the study's plugin table",
        ),
    }
}
