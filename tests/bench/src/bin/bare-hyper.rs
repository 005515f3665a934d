//! The least that a client on hyper can do, as the mark for the comparison: one task a stream, time
//! stamps as data frames come, nothing parsed.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Incoming, client::conn::http1, header::CONTENT_TYPE};
use hyper_util::rt::TokioIo;
use llem_client_bench::{Arguments, report};
use llem_core::{
    latency::{self, RequestLog, Status},
    sse::TokenArrival,
};
use llem_load::clock::now_ns;
use tokio::net::TcpStream;

fn main() -> io::Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Err(io::Error::other("usage: bare-hyper URL STREAMS REQUESTS TOKENS"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started_ns = now_ns();
    let mut requests = tokio::task::LocalSet::new()
        .block_on(&runtime, streams(&arguments))
        .map_err(io::Error::other)?;
    requests.sort_by_key(|request| request.scheduled_ns);
    let ended_ns = now_ns();
    report(
        "bare hyper",
        arguments.streams,
        &RequestLog { started_ns, ended_ns, requests, ..RequestLog::default() },
    )
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn streams(arguments: &Arguments) -> Result<Vec<latency::Request>, Failure> {
    let left = Rc::new(Cell::new(arguments.requests));
    let tasks: Vec<_> = (0..arguments.streams)
        .map(|place| {
            let delay = arguments.ramp_up() * place / arguments.streams;
            tokio::task::spawn_local(stream(arguments.clone(), Rc::clone(&left), delay))
        })
        .collect();
    let mut requests = Vec::new();
    for task in tasks {
        requests.extend(task.await??);
    }
    Ok(requests)
}

async fn stream(
    arguments: Arguments,
    left: Rc<Cell<u64>>,
    delay: Duration,
) -> Result<Vec<latency::Request>, Failure> {
    tokio::time::sleep(delay).await;
    let authority = arguments
        .url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let socket = TcpStream::connect(&authority).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(socket)).await?;
    tokio::task::spawn_local(connection);
    let body = Bytes::from(format!(
        r#"{{"model":"fake","prompt":[1,2,3,4],"max_tokens":{},"stream":true,"stream_options":{{"include_usage":true}}}}"#,
        arguments.tokens
    ));
    let mut requests = Vec::new();
    while let Some(next) = left.get().checked_sub(1) {
        left.set(next);
        let scheduled_ns = now_ns();
        let request = Request::post("/v1/completions")
            .header("host", &authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))?;
        let answer = sender.send_request(request).await?.into_body();
        requests.push(read(answer, scheduled_ns, arguments.tokens).await?);
    }
    Ok(requests)
}

async fn read(
    mut body: Incoming,
    scheduled_ns: u64,
    tokens: u32,
) -> Result<latency::Request, Failure> {
    let mut arrivals = Vec::with_capacity(usize::try_from(tokens)? + 2);
    while let Some(frame) = body.frame().await {
        if frame?.data_ref().is_some() {
            arrivals.push(TokenArrival { at_ns: now_ns(), tokens: 1 });
        }
    }
    // The usage and the end mark come last and are no tokens.
    arrivals.truncate(usize::try_from(tokens)?);
    Ok(latency::Request {
        dispatched_ns: Some(scheduled_ns),
        first_token_ns: arrivals.first().map(|arrival| arrival.at_ns),
        last_token_ns: arrivals.last().map(|arrival| arrival.at_ns),
        output_tokens: u64::try_from(arrivals.len()).ok(),
        end_ns: now_ns(),
        status: Status::Completed,
        tokens: arrivals,
        ..latency::Request::scheduled(0, scheduled_ns)
    })
}
