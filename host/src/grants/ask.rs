//! The question whether a plugin may do what it asks for. The default is no.

use std::io::{self, BufRead, Write};

use llem_core::backend::{Descriptor, Permission};

use super::permission::{meaning, name};
use crate::diagnostics::printable;

/// Asks on the terminal; none: refused as a whole.
pub(super) fn on_terminal(
    descriptor: &Descriptor,
    sha256: &str,
    wanted: &[Permission],
) -> io::Result<Option<Vec<(Permission, bool)>>> {
    ask(descriptor, sha256, wanted, &mut io::stdin().lock(), &mut io::stderr().lock())
}

fn ask(
    descriptor: &Descriptor,
    sha256: &str,
    wanted: &[Permission],
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> io::Result<Option<Vec<(Permission, bool)>>> {
    let who = format!("{} {}", descriptor.id, descriptor.version);
    writeln!(output, "The plugin {} is not part of llem.", printable(&who))?;
    writeln!(output, "  component sha256 {sha256}\nIt wants to")?;
    for permission in wanted {
        let (name, meaning) = (name(permission), meaning(permission));
        writeln!(output, "  {:<28} {}", printable(&name), printable(&meaning))?;
    }
    write!(output, "Allow it for this component? [a]ll, [s]elect, [N]one: ")?;
    output.flush()?;
    match answer(input)?.as_str() {
        "a" | "all" => Ok(Some(wanted.iter().map(|it| (it.clone(), true)).collect())),
        "s" | "select" => {
            let mut answers = Vec::new();
            for permission in wanted {
                write!(output, "  {}? [y/N] ", printable(&name(permission)))?;
                output.flush()?;
                let answer = answer(input)?;
                answers.push((permission.clone(), answer == "y" || answer == "yes"));
            }
            Ok(Some(answers))
        }
        _ => Ok(None),
    }
}

fn answer(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &str) -> (Option<Vec<bool>>, String) {
        let descriptor = Descriptor {
            version: "1.0.0\u{1b}[2J".into(),
            ..super::super::book::tests::descriptor()
        };
        let wanted = [Permission::Program("python3".into()), Permission::Secret("hf-token".into())];
        let mut output = Vec::new();
        let answers = ask(&descriptor, "3f1c", &wanted, &mut answers.as_bytes(), &mut output)
            .expect("memory");
        let answers = answers.map(|all| all.into_iter().map(|it| it.1).collect());
        (answers, String::from_utf8(output).expect("it is text"))
    }

    #[test]
    fn silence_and_anything_unknown_is_no() {
        for answers in ["", "\n", "n\n", "yes please\n"] {
            assert_eq!(asked(answers).0, None, "{answers:?}");
        }
    }

    #[test]
    fn all_or_some_can_be_allowed() {
        assert_eq!(asked("A\n").0, Some(vec![true, true]));
        assert_eq!(asked("s\ny\n\n").0, Some(vec![true, false]));
    }

    #[test]
    fn the_question_says_what_it_means_and_cannot_drive_the_terminal() {
        let (_, text) = asked("n\n");
        assert!(text.contains("arbitrary code with your rights"), "{text}");
        assert!(text.contains("secret:hf-token") && !text.contains('\u{1b}'), "{text}");
    }
}
