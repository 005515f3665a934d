//! Hostile plugins, one a file in `tests/attacks`: each is refused by name, and nothing of it is started, written
//! outside of its scratch directory, printed raw or left running. A new attack is a new file.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use llem_tests::{Answer, Workspace, processes_with};
use serde_json::{Value, json};

use crate::workspace;

/// The component whose replies are a text within.
const COMPONENT: &[u8] = include_bytes!("../attacks/scripted.wasm");
const MARK: &[u8] = b"LLEM-SCRIPT:";
/// Value of the secret that every attack is after.
const SECRET: &str = "s3cret-of-the-user";

const STUDY: &str = r#"
name = "attack"
[model]
id = "random:tiny-llama-15m"
[workload]
requests = 1
input_tokens = 4
output_tokens = 2
[traffic]
concurrency = 1
[measure]
warmup = { requests = 1 }
window = "1s"
windows = 1
baseline = "none"
repeats = 1
rest = "10ms"
[plugin.scripted]
secrets = ["hf-token"]
"#;

/// One attack.
struct Attack {
    name: String,
    /// Text that names the refusal.
    expect: String,
    exit: i64,
    /// `run`, or `plan` where nobody gets as far as running.
    command: String,
    /// Permissions that the user gives; none: all that the component asks for.
    allow: Option<Vec<String>>,
    /// Whether its engine may start: then what it does must stay within.
    starts: bool,
    /// Further lines of the plugin's table in the study.
    study: String,
    set: toml::Table,
}

impl Attack {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("it is readable");
        let table: toml::Table =
            text.parse().unwrap_or_else(|it| panic!("{}: {it}", path.display()));
        let text = |key: &str| table[key].as_str().expect("a text").to_owned();
        let list = |it: &toml::Value| {
            let all = it.as_array().expect("a list").iter();
            all.map(|it| it.as_str().expect("texts").to_owned()).collect()
        };
        Self {
            name: path.file_stem().expect("it has a name").to_string_lossy().into_owned(),
            expect: text("expect"),
            exit: table["exit"].as_integer().expect("a number"),
            command: table
                .get("command")
                .map_or("run", |it| it.as_str().expect("a text"))
                .to_owned(),
            allow: table.get("allow").map(list),
            starts: table.get("starts").is_some_and(|it| it.as_bool() == Some(true)),
            study: table.get("study").map_or_else(String::new, |_| text("study")),
            set: table.get("set").and_then(|it| it.as_table().cloned()).unwrap_or_default(),
        }
    }

    /// The replies: the harmless ones, with the attack's changes.
    fn script(&self, outside: &str, foreign: u16) -> Value {
        let base = include_str!("../attacks/base.json");
        let mut script: Value = serde_json::from_str(base).expect("it is JSON");
        for (pointer, value) in &self.set {
            let value = serde_json::to_value(value).expect("TOML is JSON");
            let value = match value.get("copy").and_then(Value::as_str) {
                Some(from) => script.pointer(from).expect("it is there").clone(),
                None => value,
            };
            set(&mut script, pointer, value);
        }
        let text = script.to_string().replace("@OUTSIDE@", outside).replace("@SECRET@", SECRET);
        let text = text.replace("@FOREIGN@", &foreign.to_string());
        let mut script = serde_json::from_str(&text).expect("paths are plain");
        bytes_of_texts(&mut script);
        script
    }
}

/// Sets a value by its JSON pointer; `-` at the end appends, `^` puts first.
pub(crate) fn set(script: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = script.pointer_mut(parent).unwrap_or_else(|| panic!("no `{parent}`"));
    match (parent, key) {
        (Value::Array(list), "-") => list.push(value),
        (Value::Array(list), "^") => list.insert(0, value),
        (Value::Array(list), index) => list[index.parse::<usize>().expect("an index")] = value,
        (Value::Object(object), key) => drop(object.insert(key.to_owned(), value)),
        _ => panic!("`{pointer}` leads nowhere"),
    }
}

/// `{ utf8 = "…" }` stands for bytes.
fn bytes_of_texts(value: &mut Value) {
    if let Some(text) = value.get("utf8").and_then(Value::as_str) {
        *value = json!(text.as_bytes());
        return;
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(bytes_of_texts),
        Value::Object(object) => object.values_mut().for_each(bytes_of_texts),
        _ => (),
    }
}

/// The component with a script in it.
pub(crate) fn component(script: &Value) -> Vec<u8> {
    let mut bytes = COMPONENT.to_vec();
    let mark = bytes.windows(MARK.len()).position(|it| it == MARK).expect("it has a script");
    let text = script.to_string();
    assert!(text.len() < 64 * 1024 - MARK.len(), "the script is too long: {}", text.len());
    let start = mark + MARK.len();
    bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Runs an attack; what is wrong with the outcome.
fn outcome(attack: &Attack) -> Vec<String> {
    let workspace = workspace();
    let outside = workspace.path().join("outside");
    fs::create_dir(&outside).expect("it is ours");
    // Somebody else's server, which neither the host nor anything that it starts has to do with.
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = foreign.local_addr().expect("it is bound").port();
    let script = attack.script(&outside.display().to_string(), port);
    fs::write(workspace.path().join("attack.wasm"), component(&script)).expect("writable");
    workspace.write("study.toml", &format!("{STUDY}{}", attack.study));
    let asked = script["descriptor"]["permissions"].as_array().expect("a list").iter();
    let allow = attack.allow.clone().unwrap_or_else(|| asked.map(permission).collect());
    let mut args = vec![attack.command.as_str(), "study.toml", "--plugin", "./attack.wasm"];
    args.extend(allow.iter().flat_map(|it| ["--allow", it.as_str()]));
    let output = workspace.command(&args).env("HF_TOKEN", SECRET).output().expect("it starts");
    let answer = Answer::of(&output);
    let mut wrong = Vec::new();
    foreign.set_nonblocking(true).expect("it is a socket");
    if foreign.accept().is_ok() {
        wrong.push("it reached another's port".to_owned());
    }
    if answer.code.map(i64::from) != Some(attack.exit) {
        wrong.push(format!("exit code {:?}, not {}", answer.code, attack.exit));
    }
    if !said(&workspace, &answer).contains(&attack.expect) {
        wrong.push(format!("not refused by `{}`", attack.expect));
    }
    let left: Vec<_> = fs::read_dir(&outside)
        .expect("it is there")
        .flatten()
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .filter(|it| !(attack.starts && it == "started"))
        .collect();
    if !left.is_empty() {
        wrong.push(format!("it wrote {left:?} outside"));
    }
    let is_raw = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
    };
    if answer.stdout.chars().chain(answer.stderr.chars()).any(is_raw) {
        wrong.push("it drives the terminal".to_owned());
    }
    let mut files = Vec::new();
    for name in ["results", "data"] {
        files_below(&workspace.path().join(name), &mut files);
    }
    let holds_secret = |text: &[u8]| text.windows(SECRET.len()).any(|it| it == SECRET.as_bytes());
    let told = [output.stdout, output.stderr].iter().any(|it| holds_secret(it));
    if told || files.iter().any(|it| fs::read(it).is_ok_and(|it| holds_secret(&it))) {
        wrong.push("it told a secret".to_owned());
    }
    let large = |it: &PathBuf| it.metadata().is_ok_and(|it| it.len() > 20 << 20);
    if files.iter().any(large) {
        wrong.push("it filled the disk".to_owned());
    }
    let place = workspace.path().display().to_string();
    if !processes_with(&place).is_empty() {
        wrong.push("something still runs".to_owned());
    }
    if workspace.path().join("results").exists() && workspace.results().join("scratch").exists() {
        wrong.push("its scratch directory is still there".to_owned());
    }
    if !wrong.is_empty() {
        wrong.push(said(&workspace, &answer));
    }
    wrong
}

/// Everything that llem said: on standard error, and of the failed trial.
fn said(workspace: &Workspace, answer: &Answer) -> String {
    let journal = workspace.path().join("results");
    let records = if journal.exists() { workspace.records() } else { Vec::new() };
    let outcomes = records.iter().map(|it| format!("{}\n", it["outcome"]));
    let plain = outcomes.collect::<String>().replace("\\\"", "\"");
    format!("{}\n{plain}\n{}", answer.stderr, answer.stdout)
}

/// A permission of the script as the command line names it.
fn permission(it: &Value) -> String {
    let (kind, value) = it.as_object().expect("one key").iter().next().expect("one key");
    let text = value.as_str().unwrap_or_default();
    match kind.as_str() {
        "Program" => format!("program:{text}"),
        "EnvSet" => format!("env-set:{text}"),
        "EnvPass" => format!("env-pass:{text}"),
        "Secret" => format!("secret:{text}"),
        "Image" => format!("image:{text}"),
        "Bundled" => format!("bundled:{text}"),
        "Network" => "network:outbound".to_owned(),
        "HostPath" => {
            let access = if value["writable"] == true { "rw" } else { "ro" };
            format!("host-path:{}:{access}", value["path"].as_str().expect("a path"))
        }
        other => panic!("no permission `{other}`"),
    }
}

#[test]
fn every_attack_is_refused_by_name_and_leaves_nothing() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/attacks"));
    let mut attacks: Vec<Attack> = fs::read_dir(folder)
        .expect("there are attacks")
        .flatten()
        .map(|it| it.path())
        .filter(|it| it.extension().is_some_and(|it| it == "toml"))
        .map(|it| Attack::read(&it))
        .collect();
    attacks.sort_by(|left, right| left.name.cmp(&right.name));
    let only = std::env::var("LLEM_ATTACK").unwrap_or_default();
    attacks.retain(|it| it.name.contains(&only));
    assert!(!only.is_empty() || attacks.len() >= 40, "{} attacks", attacks.len());
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(attack) = attacks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wrong = outcome(attack);
                    if !wrong.is_empty() {
                        let text = format!("{}: {}", attack.name, wrong.join("; "));
                        failures.lock().expect("nobody panics here").push(text);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panicked");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
