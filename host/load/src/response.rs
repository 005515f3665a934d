//! HTTP/1.1 answers: bytes in, head and body out, for every split of the bytes.
//!
//! Written for streams of small chunks: the body is handed on as slices of what was read, nothing is
//! copied and nothing is allocated after the head. Opens no connection.

/// The longest head that is accepted, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// Why the bytes are no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The head does not follow HTTP.
    #[error("the head of the answer is no HTTP: {0}")]
    Head(String),
    /// The head does not end.
    #[error("the head of the answer is longer than {MAX_HEAD_BYTES} bytes")]
    HeadTooLong,
    /// The chunked transfer coding is wrong.
    #[error("the chunked body is malformed: {0}")]
    Chunk(&'static str),
    /// The connection ended before the answer did.
    #[error("the connection ended within the {0}")]
    Incomplete(&'static str),
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Response {
    head: Vec<u8>,
    body: Body,
    status: Option<u16>,
    is_event_stream: bool,
    keeps_alive: bool,
    has_surplus: bool,
}

#[derive(Debug, Default, PartialEq)]
enum Body {
    #[default]
    NotYet,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Chunked {
    /// Within the size; none before its first digit.
    Size(Option<u64>),
    /// After the size, up to the line feed.
    Extension(u64),
    Data(u64),
    AfterData,
    /// In the trailer; whether the line has content.
    Trailer(bool),
}

impl Response {
    /// Forgets everything but its buffer, for the next answer on the connection.
    pub(crate) fn reset(&mut self) {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        *self = Self { head, ..Self::default() };
    }

    /// The status code, once the head has come.
    pub(crate) fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether the head says that an event stream follows.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    /// Whether the whole answer has come.
    pub(crate) fn is_done(&self) -> bool {
        self.body == Body::Done
    }

    /// Whether the connection can take another request.
    pub(crate) fn is_reusable(&self) -> bool {
        self.is_done() && self.keeps_alive && !self.has_surplus
    }

    /// Takes the bytes of one read and hands out the pieces of the body among them.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        mut on_body: impl FnMut(&Self, &[u8]),
    ) -> Result<(), ResponseError> {
        while !bytes.is_empty() {
            match self.body {
                Body::NotYet => bytes = self.take_head(bytes)?,
                Body::Length(left) => {
                    let (piece, rest) = split_at_most(bytes, left);
                    on_body(self, piece);
                    let left = left - length(piece);
                    self.body = if left == 0 { Body::Done } else { Body::Length(left) };
                    bytes = rest;
                }
                Body::UntilClose => {
                    on_body(self, bytes);
                    return Ok(());
                }
                Body::Chunked(Chunked::Data(left)) => {
                    let (piece, rest) = split_at_most(bytes, left);
                    on_body(self, piece);
                    let left = left - length(piece);
                    self.body = Body::Chunked(if left == 0 {
                        Chunked::AfterData
                    } else {
                        Chunked::Data(left)
                    });
                    bytes = rest;
                }
                Body::Chunked(state) => {
                    self.body = next_state(state, bytes[0])?;
                    bytes = &bytes[1..];
                }
                Body::Done => {
                    self.has_surplus = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes the end of the connection.
    pub(crate) fn end(&mut self) -> Result<(), ResponseError> {
        match self.body {
            Body::Done => Ok(()),
            Body::UntilClose => {
                self.body = Body::Done;
                Ok(())
            }
            Body::NotYet if self.head.is_empty() => {
                Err(ResponseError::Incomplete("wait for an answer"))
            }
            Body::NotYet => Err(ResponseError::Incomplete("head")),
            Body::Length(_) | Body::Chunked(_) => Err(ResponseError::Incomplete("body")),
        }
    }

    fn take_head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ResponseError> {
        let searched = self.head.len().saturating_sub(3);
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head[searched..].windows(4).position(|four| four == b"\r\n\r\n")
        else {
            return if self.head.len() > MAX_HEAD_BYTES {
                Err(ResponseError::HeadTooLong)
            } else {
                Ok(&[])
            };
        };
        let end = searched + end + 4;
        self.parse_head(end)?;
        self.head.clear();
        Ok(&bytes[end - before..])
    }

    fn parse_head(&mut self, end: usize) -> Result<(), ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&self.head[..end]).map_err(|error| ResponseError::Head(error.to_string()))?;
        let status = parsed.code.ok_or_else(|| ResponseError::Head("no status code".to_owned()))?;
        if (100..200).contains(&status) {
            return Ok(());
        }
        let header = |name: &str| {
            let found =
                parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        let has = |name: &str, token: &str| {
            header(name).is_some_and(|value| value.to_ascii_lowercase().contains(token))
        };
        let is_chunked = has("transfer-encoding", "chunked");
        let content_length = match header("content-length") {
            None => None,
            Some(value) => Some(
                value
                    .parse()
                    .map_err(|_| ResponseError::Head(format!("`content-length` is `{value}`")))?,
            ),
        };
        self.body = match content_length {
            _ if matches!(status, 204 | 304) => Body::Done,
            _ if is_chunked => Body::Chunked(Chunked::Size(None)),
            Some(0) => Body::Done,
            Some(length) => Body::Length(length),
            None => Body::UntilClose,
        };
        let persists = if parsed.version == Some(0) {
            has("connection", "keep-alive")
        } else {
            !has("connection", "close")
        };
        self.keeps_alive = persists && self.body != Body::UntilClose;
        self.is_event_stream = has("content-type", "text/event-stream");
        self.status = Some(status);
        Ok(())
    }
}

fn next_state(state: Chunked, byte: u8) -> Result<Body, ResponseError> {
    let next = match (state, byte) {
        (Chunked::Size(size), _) if byte.is_ascii_hexdigit() => {
            let digit = char::from(byte).to_digit(16).expect("a hexadecimal digit");
            let size = size
                .unwrap_or(0)
                .checked_mul(16)
                .ok_or(ResponseError::Chunk("its size is too large"))?;
            Chunked::Size(Some(size + u64::from(digit)))
        }
        (Chunked::Size(Some(size)), b'\r' | b';' | b' ' | b'\t')
        | (Chunked::Extension(size), 0..=9 | 11..) => Chunked::Extension(size),
        (Chunked::Extension(0) | Chunked::Trailer(true), b'\n') => Chunked::Trailer(false),
        (Chunked::Extension(size), b'\n') => Chunked::Data(size),
        (Chunked::Size(_), _) => return Err(ResponseError::Chunk("its size is no number")),
        (Chunked::AfterData, b'\r') => Chunked::AfterData,
        (Chunked::AfterData, b'\n') => Chunked::Size(None),
        (Chunked::AfterData, _) => {
            return Err(ResponseError::Chunk("its data is longer than its size"));
        }
        (Chunked::Trailer(has_content), b'\r') => Chunked::Trailer(has_content),
        (Chunked::Trailer(false), b'\n') => return Ok(Body::Done),
        (Chunked::Trailer(_), _) => Chunked::Trailer(true),
        (Chunked::Data(left), _) => Chunked::Data(left),
    };
    Ok(Body::Chunked(next))
}

fn split_at_most(bytes: &[u8], most: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len()))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n\
                           5\r\ndata:\r\n3;x=1\r\n a\n\r\n1\r\n\n\r\n0\r\n\r\n";

    fn read(pieces: &[&[u8]]) -> (Response, String, Result<(), ResponseError>) {
        let (mut response, mut body) = (Response::default(), Vec::new());
        let result = pieces
            .iter()
            .try_for_each(|piece| response.push(piece, |_, bytes| body.extend_from_slice(bytes)));
        (response, String::from_utf8(body).unwrap(), result)
    }

    #[test]
    fn bodies_of_every_kind_are_read() {
        let (response, body, _) = read(&[CHUNKED.as_bytes()]);
        assert_eq!(body, "data: a\n\n");
        assert!(response.is_reusable() && response.is_event_stream());

        let (response, body, _) = read(&[
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\nConnection: close\r\n\r\ngone",
        ]);
        assert_eq!((body.as_str(), response.status()), ("gone", Some(404)));
        assert!(response.is_done() && !response.is_reusable() && !response.is_event_stream());

        let (mut response, body, _) = read(&[b"HTTP/1.0 200 OK\r\n\r\nto the end"]);
        assert_eq!(body, "to the end");
        assert!(!response.is_done());
        assert_eq!(response.end(), Ok(()));
        assert!(!response.is_reusable());

        let (response, _, _) =
            read(&[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"]);
        assert_eq!((response.status(), response.is_reusable()), (Some(204), true));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        ] {
            assert!(read(&[bytes.as_bytes()]).2.is_err(), "{bytes}");
        }
        assert_eq!(read(&[&vec![b'a'; 70_000]]).2, Err(ResponseError::HeadTooLong));
    }

    #[test]
    fn an_end_before_the_end_is_noticed() {
        for cut in [0, 10, CHUNKED.len() - 2] {
            assert!(read(&[&CHUNKED.as_bytes()[..cut]]).0.end().is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn bytes_after_the_answer_forbid_reuse() {
        let (response, _, _) = read(&[CHUNKED.as_bytes(), b"HTTP/1.1 200 OK"]);
        assert!(response.is_done() && !response.is_reusable());
    }

    proptest! {
        #[test]
        fn every_split_of_the_bytes_gives_the_same_answer(cuts in proptest::collection::vec(0..CHUNKED.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, CHUNKED.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &CHUNKED.as_bytes()[pair[0]..pair[1]]).collect();
            let (response, body, result) = read(&pieces);
            prop_assert_eq!((body.as_str(), result, response.is_reusable()), ("data: a\n\n", Ok(()), true));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), head: bool) {
            let head = if head { &CHUNKED.as_bytes()[..100] } else { b"" };
            let mut response = Response::default();
            let result = response.push(head, |_, _| ()).and_then(|()| response.push(&bytes, |_, _| ()));
            prop_assert!(result.is_ok() || result.is_err());
        }
    }
}
