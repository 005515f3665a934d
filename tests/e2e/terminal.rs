//! The live view on a terminal: a pseudo-terminal, whose other end an emulator reads.

use std::{
    fs,
    io::{Read as _, Write as _},
    num::NonZeroU16,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use llem_tests::Workspace;
use vt100::Parser;

use crate::{small_study, workspace};

/// Longest time that a study of a few seconds may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// `llem` on a terminal, which util-linux's `script` makes.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    output: Receiver<Vec<u8>>,
    parser: Parser,
    raw: Vec<u8>,
    /// Every screen that differs from the one before it.
    screens: Vec<String>,
    /// File that the terminal's device is named in.
    device: PathBuf,
}

impl Terminal {
    fn start(workspace: &Workspace, args: &[&str], columns: u16, no_color: bool) -> Self {
        let llem = workspace.command(args);
        let device = workspace.path().join("tty");
        let words = std::iter::once(llem.get_program()).chain(llem.get_args());
        let words: Vec<String> = words.map(|it| format!("'{}'", it.display())).collect();
        let line = format!(
            "tty > '{}'; stty rows 24 cols {columns}; exec {}",
            device.display(),
            words.join(" ")
        );
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
            .current_dir(workspace.path())
            .envs(llem.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if !no_color {
            script.env_remove("NO_COLOR");
        }
        let mut child = script.spawn().expect("util-linux has `script`");
        let (sender, output) = channel();
        let mut screen = child.stdout.take().expect("it is piped");
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let parser = Parser::new(cells(24), cells(columns), 0);
        let keyboard = child.stdin.take().expect("it is piped");
        Self { child, keyboard, output, parser, raw: Vec::new(), screens: Vec::new(), device }
    }

    /// Reads until a screen is as wanted; false where the program ends before.
    fn until(&mut self, wanted: impl Fn(&str) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nothing of it on: {}", self.screen());
            match self.output.recv_timeout(Duration::from_secs(1)) {
                Ok(bytes) => {
                    self.raw.extend(&bytes);
                    // Byte by byte a screen would be seen while it is drawn; programs write whole screens.
                    self.parser.process(&bytes);
                    let screen = self.screen();
                    if self.screens.last() != Some(&screen) {
                        self.screens.push(screen.clone());
                    }
                    if wanted(&screen) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn screen(&self) -> String {
        text(&self.parser)
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("it listens");
    }

    fn resize(&mut self, columns: u16) {
        let device = fs::read_to_string(&self.device).expect("it was named");
        let columns_text = columns.to_string();
        let stty = ["-F", device.trim(), "cols", &columns_text];
        assert!(Command::new("stty").args(stty).status().expect("coreutils have it").success());
        self.parser.screen_mut().set_size(cells(24), cells(columns));
    }

    /// Reads to the end; gives the exit code.
    fn end(&mut self) -> Option<i32> {
        assert!(!self.until(|_| false), "it ends");
        self.child.wait().expect("it is ours").code()
    }

    /// Everything that was printed, scrolled away or not, on a terminal of this width throughout.
    fn all(&self) -> String {
        let (_, columns) = self.parser.screen().size();
        let mut tall = Parser::new(cells(1000), columns, 0);
        tall.process(&self.raw);
        text(&tall)
    }
}

fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a terminal has some")
}

/// The rows of a screen, wrapped ones as they are.
fn text(parser: &Parser) -> String {
    let screen = parser.screen();
    let (_, columns) = screen.size();
    let rows: Vec<String> = screen.rows(0, columns.get()).collect();
    rows.iter().map(|it| it.trim_end()).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// How many progress bars are on a screen: more than one are leftovers of earlier ones.
fn bars(screen: &str) -> usize {
    let is_bar = |it: &&str| {
        let cells = it.chars().take_while(|it| matches!(it, '█' | '░')).count();
        cells >= 8
            && it.chars().skip(cells).collect::<String>().starts_with([' '])
            && it.contains('/')
    };
    screen.lines().filter(is_bar).count()
}

fn study() -> String {
    small_study("[traffic]\nconcurrency = 2").replace("repeats = 1", "repeats = 2")
}

#[test]
fn the_view_shows_one_trial_and_leaves_the_tables_alone() {
    for columns in [80, 40] {
        let workspace = workspace();
        workspace.write("study.toml", &study());
        let mut terminal = Terminal::start(&workspace, &["run", "study.toml"], columns, true);
        assert!(
            terminal.until(|it| it.contains("/2") && it.contains(" W") && it.contains("measure"))
        );
        let code = terminal.end();
        let all = terminal.all();
        assert_eq!(code, Some(0), "{all}");
        for screen in &terminal.screens {
            assert!(bars(screen) <= 1, "at {columns} columns:\n{screen}");
        }
        assert_eq!(bars(&all), 0, "nothing of the view is left:\n{all}");
        assert!(!terminal.parser.screen().hide_cursor());
        for part in ["study `small`", "done in", "results in"] {
            assert!(all.contains(part), "{part} in {all}");
        }
        // With NO_COLOR nothing is coloured; what is erased and moved is no colour.
        let text = String::from_utf8_lossy(&terminal.raw);
        let colours = text.split("\u{1b}[").skip(1).filter(|it| {
            it.find(|c: char| c.is_ascii_alphabetic()).is_some_and(|at| it.as_bytes()[at] == b'm')
        });
        assert_eq!(colours.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[test]
fn a_terminal_that_changes_its_width_keeps_one_view() {
    let workspace = workspace();
    workspace.write("study.toml", &study().replace("repeats = 2", "repeats = 4"));
    let mut terminal = Terminal::start(&workspace, &["run", "study.toml"], 100, false);
    for (columns, trial) in [(60, "1/4"), (120, "2/4")] {
        assert!(terminal.until(|it| it.contains(trial)), "{}", terminal.screen());
        terminal.resize(columns);
    }
    assert!(terminal.until(|it| it.contains("3/4") && it.contains("measure")));
    assert_eq!(bars(&terminal.screen()), 1, "{}", terminal.screen());
    assert_eq!(terminal.end(), Some(0), "{}", terminal.screen());
    assert_eq!(bars(&terminal.screen()), 0, "{}", terminal.screen());
}

#[test]
fn control_c_ends_in_order_and_leaves_a_usable_terminal() {
    let workspace = workspace();
    workspace.write("study.toml", &study().replace("window = \"1s\"", "window = \"60s\""));
    let mut terminal = Terminal::start(&workspace, &["run", "study.toml"], 80, false);
    assert!(terminal.until(|it| it.contains("measure")), "{}", terminal.screen());
    terminal.type_in("\u{3}");
    let code = terminal.end();
    let all = terminal.all();
    assert_eq!(code, Some(130), "{all}");
    assert!(all.contains("interrupted") && all.contains("--resume"), "{all}");
    assert_eq!(bars(&all), 0, "{all}");
    assert!(!terminal.parser.screen().hide_cursor());
}
