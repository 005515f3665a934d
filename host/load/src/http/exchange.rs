//! One request and its answer, without the socket: bytes in, a log entry out.

use llem_core::{
    latency::{Request, Status},
    sse::{Chunk, CountedBy, Decoder, Finish, Tally},
};

use super::{body::Prepared, reactor::Turn};
use crate::response::{Response, ResponseError};

/// The longest body that is kept where the answer is no stream, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How much of an error's body is quoted.
const QUOTED_CHARS: usize = 300;

/// A request in work, and the buffers that serve one request of the connection after the other.
#[derive(Debug)]
pub(super) struct Exchange {
    request: Request,
    prepared: Prepared,
    pub(super) written: usize,
    /// The next turn of the session, once this one is answered.
    pub(super) follows: Option<Turn>,
    response: Response,
    decoder: Decoder,
    told: Told,
}

/// What the answer has told so far.
#[derive(Debug, Default)]
struct Told {
    tally: Tally,
    body: Vec<u8>,
    /// Tokens, as far as can be told before the end.
    tokens: u32,
    /// Whether the next token is the last one wanted.
    is_ending: bool,
    has_end_mark: bool,
    finish: Option<Finish>,
    error: Option<String>,
    malformed: Option<String>,
}

/// What a read brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gain {
    pub(super) tokens: u32,
    pub(super) first_token_after_ns: Option<u64>,
    /// From now on the next token is the last one wanted.
    pub(super) is_ending: bool,
    pub(super) end: Option<End>,
}

/// How an exchange ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) status: Status,
    pub(super) detail: Option<String>,
    pub(super) is_reusable: bool,
}

impl End {
    pub(super) fn failure(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: Some(detail.into()), is_reusable: false }
    }
}

impl Exchange {
    pub(super) fn new(request: Request, prepared: Prepared) -> Self {
        Self {
            request,
            prepared,
            written: 0,
            follows: None,
            response: Response::default(),
            decoder: Decoder::new(),
            told: Told::default(),
        }
    }

    /// Turns to the next request of the connection.
    pub(super) fn renew(&mut self, request: Request, prepared: Prepared) {
        self.request = request;
        self.prepared = prepared;
        self.written = 0;
        self.follows = None;
        self.response.reset();
        self.decoder.reset();
        self.told.reset();
    }

    pub(super) fn index(&self) -> u64 {
        self.request.index
    }

    /// Whether the next token is the last one wanted, or has come.
    pub(super) fn is_ending(&self) -> bool {
        self.told.is_ending
    }

    /// What is still to be sent.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.prepared.bytes[self.written..]
    }

    /// Takes the bytes of one read.
    pub(super) fn receive(&mut self, bytes: &[u8], at_ns: u64) -> Gain {
        self.request.first_byte_ns.get_or_insert(at_ns);
        let (decoder, told) = (&mut self.decoder, &mut self.told);
        let mut tokens = 0;
        let result = self.response.push(bytes, |response, piece| {
            if response.is_event_stream() {
                let pushed = decoder.push(piece, |data| tokens += told.take_event(data, at_ns));
                if let Err(error) = pushed {
                    told.malformed.get_or_insert_with(|| error.to_string());
                }
            } else if told.body.len() + piece.len() <= MAX_BODY_BYTES {
                told.body.extend_from_slice(piece);
            } else {
                told.malformed.get_or_insert_with(|| {
                    format!("the answer is longer than {MAX_BODY_BYTES} bytes")
                });
            }
        });
        let is_first = tokens > 0 && self.told.tokens == 0;
        self.told.tokens = self.told.tokens.saturating_add(tokens);
        let is_near = self.told.tokens.saturating_add(1) >= self.prepared.output_tokens;
        let is_ending = tokens > 0 && is_near && !std::mem::replace(&mut self.told.is_ending, true);
        let end = match result {
            Err(error) => Some(End::failure(Status::Malformed, error.to_string())),
            Ok(()) if self.told.malformed.is_some() || self.response.is_done() => {
                Some(self.judge())
            }
            Ok(()) => None,
        };
        Gain {
            tokens,
            first_token_after_ns: is_first.then(|| at_ns.saturating_sub(self.request.scheduled_ns)),
            is_ending,
            end,
        }
    }

    /// Takes the end of the connection.
    pub(super) fn receive_end(&mut self) -> End {
        match self.response.end() {
            Ok(()) => self.judge(),
            Err(_) if self.told.error.is_some() => self.judge(),
            Err(error @ ResponseError::Incomplete(_)) => {
                End::failure(Status::ConnectionLost, error.to_string())
            }
            Err(error) => End::failure(Status::Malformed, error.to_string()),
        }
    }

    fn judge(&mut self) -> End {
        let is_success = self.response.status().is_some_and(|status| (200..300).contains(&status));
        let is_stream = self.response.is_event_stream();
        if is_success && !is_stream {
            self.told.take_body();
        }
        let told = &mut self.told;
        let (status, detail) = if let Some(fault) = told.malformed.take() {
            (Status::Malformed, Some(fault))
        } else if !is_success {
            (Status::HttpError, Some(told.quote_body()))
        } else if let Some(error) = told.error.take() {
            (Status::EngineError, Some(error))
        } else if is_stream && self.decoder.is_within_event() {
            (Status::Malformed, Some("the stream ended within an event".to_owned()))
        } else if is_stream && !told.has_end_mark && told.finish.is_none() {
            (
                Status::Truncated,
                Some("the stream ended without `[DONE]` or a finish reason".to_owned()),
            )
        } else {
            (Status::Completed, None)
        };
        End { status, detail, is_reusable: self.response.is_reusable() }
    }

    /// The log entry of the request that ended.
    pub(super) fn settle(&mut self, end: End, at_ns: u64) -> Request {
        let mut request = std::mem::replace(&mut self.request, Request::scheduled(0, 0));
        request.end_ns = at_ns;
        request.status = end.status;
        request.detail = end.detail;
        request.http_status = self.response.status();
        request.finish = self.told.finish;
        let is_success = request.http_status.is_some_and(|status| (200..300).contains(&status));
        if !is_success {
            return request;
        }
        request.input_tokens = self.told.tally.prompt_tokens().or(self.prepared.prompt_tokens);
        if !self.response.is_event_stream() {
            // One answer for all tokens: their number is known, the time of each is not.
            request.output_tokens = self.told.tally.total();
            request.counted_by = request.output_tokens.map(|_| CountedBy::Usage);
            return request;
        }
        let tallied = self.told.tally.settle();
        request.first_token_ns = tallied.arrivals.first().map(|arrival| arrival.at_ns);
        request.last_token_ns = tallied.arrivals.last().map(|arrival| arrival.at_ns);
        request.output_tokens = Some(tallied.output_tokens);
        request.counted_by = Some(tallied.counted_by);
        request.contradiction = tallied.contradiction;
        request.tokens = tallied.arrivals;
        request
    }
}

impl Told {
    fn reset(&mut self) {
        self.tally.reset();
        self.body.clear();
        self.tokens = 0;
        self.is_ending = false;
        self.has_end_mark = false;
        self.finish = None;
        self.error = None;
        self.malformed = None;
    }

    fn take_event(&mut self, data: &[u8], at_ns: u64) -> u32 {
        if data == b"[DONE]" {
            self.has_end_mark = true;
            return 0;
        }
        if self.has_end_mark || self.malformed.is_some() {
            return 0;
        }
        match Chunk::parse(data) {
            Ok(chunk) => self.take_chunk(chunk, at_ns),
            Err(error) => {
                self.malformed = Some(format!("an event is no chunk: {error}: {}", quote(data)));
                0
            }
        }
    }

    fn take_body(&mut self) {
        match Chunk::parse(&self.body) {
            Ok(chunk) => {
                self.take_chunk(chunk, 0);
            }
            Err(error) => {
                self.malformed =
                    Some(format!("the answer is no JSON object: {error}: {}", quote(&self.body)));
            }
        }
    }

    fn take_chunk(&mut self, chunk: Chunk, at_ns: u64) -> u32 {
        let tokens = self.tally.add(at_ns, &chunk);
        self.finish = self.finish.or(chunk.finish);
        self.error = self.error.take().or(chunk.error);
        tokens
    }

    fn quote_body(&self) -> String {
        let said = Chunk::parse(&self.body).ok().and_then(|chunk| chunk.error);
        said.unwrap_or_else(|| quote(&self.body))
    }
}

fn quote(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(QUOTED_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

    fn chunked(events: &[&str]) -> Vec<u8> {
        let bodies = events.iter().map(|event| format!("data: {event}\n\n"));
        let chunks: Vec<String> =
            bodies.map(|body| format!("{:x}\r\n{body}\r\n", body.len())).collect();
        [HEAD, &chunks.concat(), "0\r\n\r\n"].concat().into_bytes()
    }

    fn stream() -> Vec<u8> {
        chunked(&[
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"c"},"finish_reason":"length"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#,
            "[DONE]",
        ])
    }

    /// Feeds pieces until the exchange ends, then the end of the connection, and gives the entry.
    fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Request {
        let mut exchange = Exchange::new(Request::scheduled(0, 0), Prepared::default());
        for piece in pieces {
            if let Some(end) = exchange.receive(piece, 7).end {
                return exchange.settle(end, 9);
            }
        }
        let end = exchange.receive_end();
        exchange.settle(end, 9)
    }

    #[test]
    fn an_exchange_becomes_an_entry() {
        let request = feed([stream().as_slice()]);
        assert_eq!(
            (request.status, request.output_tokens, request.input_tokens),
            (Status::Completed, Some(3), Some(5))
        );
        assert_eq!(
            (request.first_byte_ns, request.first_token_ns, request.end_ns),
            (Some(7), Some(7), 9)
        );
        assert_eq!((request.finish, request.http_status), (Some(Finish::Length), Some(200)));
    }

    #[test]
    fn a_connection_serves_one_exchange_after_the_other() {
        let mut exchange = Exchange::new(Request::scheduled(0, 0), Prepared::default());
        for index in 0..3 {
            let end = exchange.receive(&stream(), 7).end.expect("the stream is whole");
            assert!(end.is_reusable);
            let request = exchange.settle(end, 9);
            assert_eq!((request.index, request.output_tokens), (index, Some(3)));
            exchange.renew(Request::scheduled(index + 1, 0), Prepared::default());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn every_split_gives_the_same_entry(size in 1_usize..80) {
            let bytes = stream();
            prop_assert_eq!(feed(bytes.chunks(size)), feed([bytes.as_slice()]));
        }

        #[test]
        fn damage_ends_in_an_entry_whatever_the_split(
            damage in proptest::collection::vec((0_usize..700, any::<u8>()), 1..6), cut in 0_usize..700, size in 1_usize..80,
        ) {
            let mut bytes = stream();
            for (place, byte) in damage {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            bytes.truncate(bytes.len() - cut % bytes.len());
            let (whole, split) = (feed([bytes.as_slice()]), feed(bytes.chunks(size)));
            prop_assert_eq!(whole.status == Status::Completed, split.status == Status::Completed);
            prop_assert!(whole.is_completed() || whole.detail.is_some());
        }
    }
}
