//! A stand-in for `apptainer`: takes the documented options that llem uses and no others, and runs the engine of an
//! `llem-candle` image as a plain process. Texts that name a mount's target are made to name its source, since nothing is
//! mounted. Each call is a line of `calls.jsonl` beside the image.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// Options without a value, and with one.
const FLAGS: [&str; 5] = ["--containall", "--no-eval", "--no-privs", "--net", "--nv"];
const VALUES: [&str; 6] =
    ["--pwd", "--workdir", "--network", "--memory", "--memory-swap", "--mount"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("pull") => pull(&arguments[1..]),
        Some("run") => run(&arguments[1..]),
        _ => Err(io::Error::other(format!("{arguments:?} is not simulated"))),
    };
    done.unwrap_or_else(|error| {
        drop(writeln!(io::stderr(), "FATAL:   {error}"));
        ExitCode::from(255)
    })
}

/// `pull FILE URI`: an image is a file that names what it was made of.
fn pull(arguments: &[String]) -> io::Result<ExitCode> {
    match arguments {
        [file, uri] if uri.starts_with("docker://llem-candle:") => {
            fs::write(file, uri).map(|()| ExitCode::SUCCESS)
        }
        _ => Err(io::Error::other(format!("{arguments:?} can't be pulled"))),
    }
}

/// `run [options] IMAGE [arguments]`.
fn run(arguments: &[String]) -> io::Result<ExitCode> {
    let mut rest = arguments.iter();
    let mut mounts = Vec::new();
    let image = loop {
        match rest.next().map(String::as_str) {
            Some(flag) if FLAGS.contains(&flag) => (),
            Some(option) if VALUES.contains(&option) => {
                let Some(value) = rest.next() else {
                    return Err(io::Error::other(format!("{option} needs a value")));
                };
                match option {
                    "--workdir" if !Path::new(value).is_dir() => {
                        return Err(io::Error::other(format!("{value} is no directory")));
                    }
                    "--mount" => mounts.push(mount(value)),
                    _ => (),
                }
            }
            Some(option) if option.starts_with('-') => {
                return Err(io::Error::other(format!("unknown flag: {option}")));
            }
            Some(image) => break PathBuf::from(image),
            None => return Err(io::Error::other("no image")),
        }
    };
    log(&image, arguments)?;
    let inside = |text: &String| {
        mounts.iter().fold(text.clone(), |text, (source, target)| text.replace(target, source))
    };
    let variables = env::vars().filter_map(|(name, value)| {
        let name = name.strip_prefix("APPTAINERENV_")?;
        Some((name.to_owned(), inside(&value)))
    });
    let llem = env::current_exe()?.with_file_name("llem-under-test");
    let mut engine = Command::new(llem);
    engine.args(["engine", "candle"]).args(rest.map(inside)).env_clear().envs(variables);
    if !arguments.iter().any(|it| it == "none") {
        return Err(engine.exec());
    }
    batch(&mut engine, inside)
}

/// A batch engine is told paths by its input as well.
fn batch(engine: &mut Command, inside: impl Fn(&String) -> String) -> io::Result<ExitCode> {
    let mut child = engine.stdin(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or_else(|| io::Error::other("no input"))?;
    for line in io::stdin().lines() {
        writeln!(input, "{}", inside(&line?))?;
    }
    drop(input);
    let code = child.wait()?.code().and_then(|it| u8::try_from(it).ok());
    Ok(ExitCode::from(code.unwrap_or(255)))
}

/// Source and target of `type=bind,source=…,destination=…`.
fn mount(text: &str) -> (String, String) {
    let field = |name: &str| {
        let found = text.split(',').find_map(|it| it.strip_prefix(name)).unwrap_or_default();
        found.to_owned()
    };
    (field("source="), field("destination="))
}

fn log(image: &Path, arguments: &[String]) -> io::Result<()> {
    let image = fs::metadata(image).map(|_| image)?;
    let calls = image.with_file_name("calls.jsonl");
    let line = serde_json::to_string(arguments)? + "\n";
    fs::OpenOptions::new().create(true).append(true).open(calls)?.write_all(line.as_bytes())
}
