//! The engine as a process: models to give it, its two protocols, and its end. Asserts little by itself.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Writes the config of a model small enough for any test into `folder`.
pub(crate) fn tiny_model(folder: &Path) -> PathBuf {
    shape(folder, &json!({}))
}

/// As [`tiny_model`], with other values.
pub(crate) fn shape(folder: &Path, changes: &Value) -> PathBuf {
    let mut config = json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300,
        "max_position_embeddings": 256, "tie_word_embeddings": false,
    });
    for (name, value) in changes.as_object().expect("tests pass objects") {
        config[name] = value.clone();
    }
    std::fs::write(folder.join("config.json"), config.to_string())
        .expect("the temporary directory is writable");
    folder.to_owned()
}

/// The GGUF file that the environment names, for the tests that need one.
pub(crate) fn gguf() -> PathBuf {
    std::env::var_os("LLEM_TEST_GGUF").expect("`LLEM_TEST_GGUF` names a GGUF file").into()
}

fn engine(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llem-candle"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the engine to its end; returns exit code and stderr.
pub(crate) fn run_to_end(arguments: &[&str]) -> (Option<i32>, String) {
    let output = engine(arguments).stdin(Stdio::null()).output().expect("the engine starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(model: &Path, flags: &[&str]) -> Self {
        let model = format!("--model={}", model.display());
        let mut arguments = vec!["serve", &model, "--port=0", "--served-model-name=tiny"];
        if !flags.iter().any(|flag| flag.starts_with("--threads")) {
            arguments.push("--threads=1");
        }
        arguments.extend(flags);
        let mut child = engine(&arguments).spawn().expect("the engine starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        let mut lines = stderr.lines().map_while(Result::ok).inspect(|line| said.push_str(line));
        let address =
            lines.find_map(|line| Some(line.split_once("ready on http://")?.1.to_owned()));
        drop(lines);
        let Some(address) = address else {
            let status = child.wait().expect("it can be waited for");
            panic!("the server ended before it was ready, {status}: {said}");
        };
        Self { child, address }
    }

    /// Sends a request and reads the whole answer; returns status and body.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.send(method, path, body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        (status, if chunked { joined_chunks(body) } else { body.to_owned() })
    }

    /// Sends a request and returns the connection.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
            .expect("the server reads");
        stream
    }

    /// Posts JSON; returns status and JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.request("POST", path, &body.to_string());
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// Posts JSON and returns the events of the stream that comes back, `[DONE]` left out.
    pub(crate) fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let (status, body) = self.request("POST", path, &body.to_string());
        assert_eq!(status, 200, "{body}");
        let mut events: Vec<&str> =
            body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        assert_eq!(events.pop(), Some("[DONE]"), "{body}");
        events
            .into_iter()
            .map(|event| serde_json::from_str(event).expect("events are JSON"))
            .collect()
    }

    /// Returns the value of a metric, labels included in its name.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.request("GET", "/metrics", "");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("candle:{name} ")));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no metric `{name}` in {text}"))
    }

    /// Waits until a metric has a value.
    pub(crate) fn wait_for(&self, name: &str, value: f64) {
        let start = Instant::now();
        while (self.metric(name) - value).abs() > f64::EPSILON {
            assert!(start.elapsed() < PATIENCE, "`{name}` never became {value}");
            std::thread::yield_now();
        }
    }

    /// Counts the threads that compute.
    pub(crate) fn compute_threads(&self) -> usize {
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the server runs");
        let names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("compute-")).count()
    }

    /// Asks the server to end; returns its exit status.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let kill =
            Command::new("kill").arg(self.child.id().to_string()).status().expect("`kill` starts");
        assert!(kill.success());
        self.child.wait().expect("the server ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn joined_chunks(mut body: &str) -> String {
    let mut joined = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk has its size");
        if size == 0 {
            break;
        }
        joined.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    joined
}

/// A running batch worker.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut arguments = vec!["batch", "--threads=1"];
        arguments.extend(flags);
        let mut child =
            engine(&arguments).stderr(Stdio::null()).spawn().expect("the engine starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    /// Starts a worker and loads a model; returns what it said.
    pub(crate) fn load(model: &Path, flags: &[&str], settings: &Value) -> (Self, Value) {
        let mut worker = Self::start(flags);
        worker.say(&json!({"op": "load", "model": model, "settings": settings, "seed": 3}));
        let loaded = worker.hear();
        (worker, loaded)
    }

    /// Writes a message.
    pub(crate) fn say(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("stdin is open");
        writeln!(input, "{message}").expect("the worker reads");
    }

    /// Reads an event; null at the end.
    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("events are text");
        if line.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&line).expect("events are JSON")
        }
    }

    /// Runs a batch; returns its events up to `end` or `error`.
    pub(crate) fn generate(&mut self, message: &Value) -> Vec<Value> {
        self.say(message);
        let mut events = Vec::new();
        loop {
            let event = self.hear();
            let last = event["ev"] == "end" || event["ev"] == "error" || event.is_null();
            events.push(event);
            if last {
                return events;
            }
        }
    }

    /// Closes stdin and returns the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().expect("the worker ends").code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
