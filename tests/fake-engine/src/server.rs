//! The loop: sockets and a heap of due times, on one thread.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
        clock_gettime, timerfd_create, timerfd_settime,
    },
};
use serde_json::json;

use crate::{
    answer::{self, Shape},
    behaviour::{Behaviour, Fault},
    request::{Incoming, take_request},
    truth::{Served, Truth},
};

const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const TICK_NS: u64 = 20_000_000;
const BACKLOG: i32 = 16_384;

pub(crate) struct Server {
    listener: TcpListener,
    behaviour: Behaviour,
    epoll: OwnedFd,
    timer: OwnedFd,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    open: usize,
    due: BinaryHeap<Reverse<(u64, usize, u64)>>,
    running: usize,
    waiting: VecDeque<(usize, u64)>,
    has_gathered: bool,
    requests: u64,
    random: u64,
    truth: Truth,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    watches_writes: bool,
    closes: bool,
    stream_state: Option<Stream>,
}

/// A stream, or a whole answer that waits for its time.
struct Stream {
    request: u64,
    behaviour: Behaviour,
    shape: Shape,
    whole: Option<String>,
    tokens: u64,
    chunks: u64,
    planned_ns: u64,
    served: Served,
}

impl Server {
    pub(crate) fn new(listener: TcpListener, behaviour: Behaviour) -> io::Result<Self> {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self {
            listener,
            behaviour,
            epoll,
            timer,
            connections: Vec::new(),
            vacant: Vec::new(),
            open: 0,
            due: BinaryHeap::new(),
            running: 0,
            waiting: VecDeque::new(),
            has_gathered: false,
            requests: 0,
            random: 0x9E37_79B9_7F4A_7C15,
            truth: Truth::default(),
        })
    }

    pub(crate) fn run(mut self, stop: &AtomicBool) -> io::Result<Truth> {
        let mut events = Vec::with_capacity(1024);
        let mut next_tick = 0;
        while !stop.load(Ordering::Relaxed) {
            let now = now_ns();
            while self.due.peek().is_some_and(|Reverse((at_ns, ..))| *at_ns <= now) {
                if let Some(Reverse((_, slot, request))) = self.due.pop() {
                    self.step(slot, request);
                }
            }
            if next_tick <= now {
                next_tick = now + TICK_NS;
            }
            let next =
                self.due.peek().map_or(next_tick, |Reverse((at_ns, ..))| next_tick.min(*at_ns));
            let once = Itimerspec { it_interval: timespec(0), it_value: timespec(next) };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    TIMER => {}
                    LISTENER => self.accept()?,
                    slot => self.on_event(usize::try_from(slot).expect("an index"), event.flags)?,
                }
            }
        }
        Ok(self.truth)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(&self.epoll, &stream, event_data(slot), EventFlags::IN)?;
            self.connections[slot] = Some(Connection {
                stream,
                input: Vec::new(),
                output: Vec::new(),
                watches_writes: false,
                closes: false,
                stream_state: None,
            });
            self.open += 1;
            self.truth.most_connections = self.truth.most_connections.max(self.open);
        }
    }

    fn on_event(&mut self, slot: usize, flags: EventFlags) -> io::Result<()> {
        if flags.contains(EventFlags::OUT) {
            self.flush(slot)?;
        }
        let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        let mut buffer = [0; 16 * 1024];
        match connection.stream.read(&mut buffer) {
            Ok(0) => self.close(slot),
            Ok(read) => {
                connection.input.extend_from_slice(&buffer[..read]);
                if let Some(request) = take_request(&mut connection.input) {
                    self.answer(slot, &request)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.close(slot),
        }
        Ok(())
    }

    fn answer(&mut self, slot: usize, request: &Incoming) -> io::Result<()> {
        if self.behaviour.api_key.is_some() && self.behaviour.api_key != request.key {
            let shown = request.key.as_deref().unwrap_or_default();
            let message = format!("incorrect API key provided: `{shown}`");
            let body = json!({"error": {"message": message}}).to_string();
            let bytes = answer::whole("401 Unauthorized", "application/json", &body);
            return self.send(slot, bytes.as_bytes());
        }
        if !request.is_generation() {
            let bytes = self.answer_question(&request.path);
            return self.send(slot, bytes.as_bytes());
        }
        let behaviour = match self.behaviour.with(&request.body["fake"]) {
            Ok(behaviour) => behaviour,
            Err(error) => {
                let body = json!({"error": {"message": error.to_string()}}).to_string();
                return self.send(
                    slot,
                    answer::whole("400 Bad Request", "application/json", &body).as_bytes(),
                );
            }
        };
        self.requests += 1;
        let now = now_ns();
        let tokens = request.output_tokens();
        let (limit, gather) = (behaviour.slots, behaviour.gather);
        let stream = Stream {
            request: self.requests,
            shape: Shape::new(request, &behaviour),
            whole: (!request.is_stream()).then(|| answer::whole_generation(request, tokens)),
            tokens,
            chunks: 0,
            planned_ns: now,
            served: Served { arrived_ns: now, ..Served::default() },
            behaviour,
        };
        let role = request.is_chat() && stream.behaviour.role_first && stream.whole.is_none();
        let early = stream.behaviour.fault == Some(Fault::NoHttp)
            || stream.behaviour.fault == Some(Fault::Unavailable);
        let opening = match (&stream.whole, early) {
            (None, false) => {
                answer::STREAM_HEAD.to_owned()
                    + &if role { stream.shape.role() } else { String::new() }
            }
            _ => String::new(),
        };
        let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
        connection.stream_state = Some(stream);
        self.send(slot, opening.as_bytes())?;
        if gather > 0 && !self.has_gathered {
            self.waiting.push_back((slot, self.requests));
            self.has_gathered = self.waiting.len() >= gather;
            while let Some((slot, request)) = self.waiting.pop_front_if(|_| self.has_gathered) {
                self.start(slot, request, now);
            }
        } else if limit > 0 && self.running >= limit {
            self.waiting.push_back((slot, self.requests));
        } else {
            self.start(slot, self.requests, now);
        }
        Ok(())
    }

    /// Puts a request to work; says whether it still waits for it.
    fn start(&mut self, slot: usize, request: u64, from_ns: u64) -> bool {
        let Some(stream) = self.stream(slot, request) else { return false };
        stream.planned_ns = from_ns + milliseconds(stream.behaviour.first_token_ms);
        let planned_ns = stream.planned_ns;
        self.running += 1;
        self.due.push(Reverse((planned_ns, slot, request)));
        true
    }

    fn stream(&mut self, slot: usize, request: u64) -> Option<&mut Stream> {
        let stream = self.connections[slot].as_mut()?.stream_state.as_mut()?;
        (stream.request == request).then_some(stream)
    }

    /// Does what is due for a stream.
    fn step(&mut self, slot: usize, request: u64) {
        let jitter = self.random();
        let Some(stream) = self.stream(slot, request) else { return };
        let mut bytes = String::new();
        let mut end = None;
        let now = now_ns();
        stream.served.worst_lag_ns =
            stream.served.worst_lag_ns.max(now.saturating_sub(stream.planned_ns));
        if let Some(whole) = stream.whole.take_if(|_| stream.behaviour.fault.is_none()) {
            bytes = whole;
            stream.served.tokens = stream.tokens;
            end = Some(true);
        }
        for _ in 0..stream.behaviour.chunks_per_write {
            if end.is_some() {
                break;
            }
            end = stream.next_chunk(&mut bytes, now);
        }
        let is_stalled = stream.behaviour.fault == Some(Fault::Stall) && end == Some(false);
        if end.is_none() {
            let jitter = milliseconds(stream.behaviour.jitter_ms * jitter);
            stream.planned_ns += milliseconds(stream.behaviour.gap_ms) + jitter;
            let planned_ns = stream.planned_ns;
            self.due.push(Reverse((planned_ns, slot, request)));
        }
        let closes = end == Some(false) && !is_stalled && stream_closes(self.stream(slot, request));
        if let Some(connection) = &mut self.connections[slot] {
            connection.closes = closes;
        }
        if self.send(slot, bytes.as_bytes()).is_err() {
            self.close(slot);
        }
        if let Some(is_whole) = end.filter(|_| !is_stalled) {
            self.end(slot, is_whole);
        }
    }

    fn end(&mut self, slot: usize, is_whole: bool) {
        if let Some(mut stream) =
            self.connections[slot].as_mut().and_then(|connection| connection.stream_state.take())
        {
            stream.served.is_whole = is_whole;
            self.truth.served.push(stream.served);
            self.running = self.running.saturating_sub(1);
            while let Some((slot, request)) = self.waiting.pop_front() {
                if self.start(slot, request, now_ns()) {
                    break;
                }
            }
        }
    }

    fn answer_question(&self, path: &str) -> String {
        let json = |body: String| answer::whole("200 OK", "application/json", &body);
        if let Some(page) = self.behaviour.pages.get(path) {
            let page = page.replace("@REQUESTS@", &self.truth.served.len().to_string());
            let page = page.replace("@TOKENS@", &self.truth.tokens().to_string());
            let kind = if page.starts_with('{') { "application/json" } else { "text/plain" };
            return answer::whole("200 OK", kind, &page);
        }
        match path {
            "/health" => answer::whole("200 OK", "text/plain", ""),
            "/v1/models" => json(
                json!({"object": "list", "data": [{"id": "fake", "object": "model"}]}).to_string(),
            ),
            "/truth" => json(serde_json::to_string(&self.truth).expect("it has string keys")),
            "/metrics" => {
                let (running, waiting) = (self.running, self.waiting.len());
                let tokens = self.truth.tokens();
                let body = format!(
                    "fake:running {running}\nfake:waiting {waiting}\nfake:generation_tokens_total {tokens}\n"
                );
                answer::whole("200 OK", "text/plain; version=0.0.4", &body)
            }
            _ => answer::whole(
                "404 Not Found",
                "application/json",
                r#"{"error":{"message":"no such path"}}"#,
            ),
        }
    }

    fn send(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
        connection.output.extend_from_slice(bytes);
        self.flush(slot)
    }

    fn flush(&mut self, slot: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
        let by_byte =
            connection.stream_state.as_ref().is_some_and(|stream| stream.behaviour.one_byte_writes);
        let mut sent = 0;
        while sent < connection.output.len() {
            let until = if by_byte { sent + 1 } else { connection.output.len() };
            match connection.stream.write(&connection.output[sent..until]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.close(slot);
                    return Ok(());
                }
            }
        }
        connection.output.drain(..sent);
        let wants_writes = !connection.output.is_empty();
        if wants_writes != connection.watches_writes {
            connection.watches_writes = wants_writes;
            let flags =
                if wants_writes { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &connection.stream, event_data(slot), flags)?;
        }
        if connection.closes && !wants_writes {
            self.end(slot, false);
            self.close(slot);
        }
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        self.end(slot, false);
        if self.connections[slot].take().is_some() {
            self.open -= 1;
            self.vacant.push(slot);
        }
    }

    /// Uniform between 0 and 1 (xorshift).
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let top = u32::try_from(self.random >> 32).expect("32 bits are left");
        f64::from(top) / f64::from(u32::MAX)
    }
}

impl Stream {
    /// Adds the next chunk; says whether the stream has ended, and if so, whether as it should.
    fn next_chunk(&mut self, bytes: &mut String, now: u64) -> Option<bool> {
        if let Some(fault) =
            self.behaviour.fault.filter(|_| self.chunks >= self.behaviour.fault_after)
        {
            bytes.push_str(&match fault {
                Fault::Unavailable => answer::whole(
                    "503 Service Unavailable",
                    "application/json",
                    r#"{"error":{"message":"overloaded"}}"#,
                ),
                Fault::NoHttp => "220 mail.example.org\r\n\r\n".to_owned(),
                Fault::Close | Fault::Stall => String::new(),
                Fault::Truncate => answer::STREAM_END.to_owned(),
                Fault::BadEvent => answer::event("{\"choices\":[{\"text\":"),
                Fault::BadChunk => "nonsense\r\n".to_owned(),
                Fault::ErrorEvent => {
                    answer::event(r#"{"error":{"message":"out of memory","code":500}}"#)
                        + &answer::event("[DONE]")
                        + answer::STREAM_END
                }
            });
            return Some(false);
        }
        let tokens = self.behaviour.tokens_per_chunk.min(self.tokens - self.served.tokens);
        self.served.tokens += tokens;
        self.chunks += 1;
        self.served.first_token_ns.get_or_insert(now);
        self.served.last_token_ns = Some(now);
        let is_last = self.served.tokens >= self.tokens;
        if self.behaviour.keep_alives {
            bytes.push_str(&answer::chunk(": keep-alive\n\n"));
        }
        bytes.push_str(&self.shape.tokens(tokens, self.served.tokens, is_last));
        if is_last {
            bytes.push_str(&self.shape.end(self.served.tokens));
        }
        is_last.then_some(true)
    }
}

/// Whether the fault of a stream ends its connection.
fn stream_closes(stream: Option<&mut Stream>) -> bool {
    let keeps = [Fault::Unavailable, Fault::Truncate, Fault::ErrorEvent];
    stream.is_some_and(|stream| stream.behaviour.fault.is_some_and(|fault| !keeps.contains(&fault)))
}

fn event_data(slot: usize) -> EventData {
    EventData::new_u64(u64::try_from(slot).expect("an index fits 64 bits"))
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).expect("the clock starts at zero");
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

fn timespec(at_ns: u64) -> Timespec {
    let part = |value: u64| i64::try_from(value).expect("a monotonic time fits 63 bits");
    Timespec { tv_sec: part(at_ns / 1_000_000_000), tv_nsec: part(at_ns % 1_000_000_000) }
}

/// Nanoseconds of programmed milliseconds.
fn milliseconds(milliseconds: f64) -> u64 {
    let duration =
        std::time::Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default();
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
