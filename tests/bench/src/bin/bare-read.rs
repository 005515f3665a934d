//! The least that any program can do: sockets watched by one thread, each read once when it has bytes, nothing decoded
//! and no time taken. What it costs is the kernel's part of every client.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use llem_client_bench::{Arguments, report};
use llem_core::latency::{Request, RequestLog, Status};
use llem_load::clock::now_ns;
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
};

/// The last chunk of a body.
const END: &[u8] = b"0\r\n\r\n";

fn main() -> io::Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Err(io::Error::other("usage: bare-read URL STREAMS REQUESTS TOKENS"));
    };
    let authority = arguments.url.trim_start_matches("http://").split('/').next();
    let authority = authority.unwrap_or_default();
    let body = format!(
        r#"{{"model":"fake","prompt":[1,2,3,4],"max_tokens":{},"stream":true}}"#,
        arguments.tokens
    );
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let started_ns = now_ns();
    let watched = epoll::create(CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    let mut left = arguments.requests;
    for place in 0..u64::from(arguments.streams) {
        std::thread::sleep(arguments.ramp_up() / arguments.streams);
        let mut stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        epoll::add(&watched, &stream, EventData::new_u64(place), EventFlags::IN)?;
        streams.push(stream);
        left = left.saturating_sub(1);
    }
    let mut requests = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    while u64::try_from(requests.len()).unwrap_or(u64::MAX) < arguments.requests {
        events.clear();
        epoll::wait(&watched, spare_capacity(&mut events), None)?;
        for event in &events {
            let place = usize::try_from(event.data.u64()).map_err(io::Error::other)?;
            let read = match streams[place].read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            if !buffer[..read].ends_with(END) {
                continue;
            }
            requests.push(Request {
                output_tokens: Some(u64::from(arguments.tokens)),
                end_ns: now_ns(),
                status: Status::Completed,
                ..Request::scheduled(0, started_ns)
            });
            if let Some(less) = left.checked_sub(1) {
                left = less;
                streams[place].write_all(request.as_bytes())?;
            }
        }
    }
    let ended_ns = now_ns();
    let log = RequestLog { started_ns, ended_ns, requests, ..RequestLog::default() };
    report("bare read", arguments.streams, &log)
}
