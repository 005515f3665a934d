//! The page on the command line: what `--help` of every command says.

use std::fmt::Write as _;

use super::Program;

/// Heading and help of every command, and of those below it.
pub(super) fn page(program: &Program) -> anyhow::Result<String> {
    let mut text = "# Command line\n\nWhat `--help` says, of every command.\n".to_owned();
    add(program, &[], &mut text)?;
    Ok(text)
}

fn add(program: &Program, command: &[&str], text: &mut String) -> anyhow::Result<()> {
    let help = program.says(&[command, &["--help"]].concat())?;
    let name = [&["llem"], command].concat().join(" ");
    write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end())?;
    for below in commands(&help) {
        add(program, &[command, &[below]].concat(), text)?;
    }
    Ok(())
}

/// Names in the list of commands, but for that of `help` itself.
fn commands(help: &str) -> Vec<&str> {
    let list = help.lines().skip_while(|it| *it != "Commands:").skip(1);
    list.take_while(|it| !it.is_empty())
        .filter(|it| it.starts_with("  ") && !it.starts_with("   "))
        .filter_map(|it| it.split_whitespace().next())
        .filter(|it| *it != "help")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_list() {
        let help = "A tool\n\nUsage: x\n\nCommands:\n  run   Run it\n        at once\n  help  Help\n\nOptions:\n  -h";
        assert_eq!(commands(help), ["run"]);
        assert!(commands("Usage: x\n").is_empty());
    }
}
