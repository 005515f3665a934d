//! The event-stream format: lines, fields, blank lines. The split of the bytes never matters.
//!
//! Yields the `data` of each event and ignores names, ids, retry times and comments. What the data
//! mean is not known here.

/// The longest event that is accepted, in bytes.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Why the bytes are no event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An event, or a line of it, does not end.
    #[error("read an event of more than {MAX_EVENT_BYTES} bytes")]
    TooLong,
}

/// An incremental decoder. Buffers are kept between events and streams, so a token allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The unfinished line, when a read ended within it.
    line: Vec<u8>,
    /// The data lines of the unfinished event, each with a line feed after it.
    data: Vec<u8>,
    after_carriage_return: bool,
    started: bool,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything but its buffers, for the next stream.
    pub fn reset(&mut self) {
        self.line.clear();
        self.data.clear();
        self.after_carriage_return = false;
        self.started = false;
    }

    /// Takes the bytes of one read and hands out the data of each event that they complete.
    ///
    /// ```
    /// let mut decoder = llem_core::sse::Decoder::new();
    /// let mut events = Vec::new();
    /// for bytes in [&b"data: {\"a\""[..], b":1}\n", b"\n: ping\n\ndata: [DONE]\n\n"] {
    ///     decoder.push(bytes, |data| events.push(String::from_utf8_lossy(data).into_owned())).unwrap();
    /// }
    /// assert_eq!(events, ["{\"a\":1}", "[DONE]"]);
    /// ```
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut on_event: impl FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_carriage_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.line.extend_from_slice(bytes);
                return self.check_length();
            };
            self.after_carriage_return = bytes[end] == b'\r';
            if self.line.is_empty() {
                take_line(&mut self.data, &mut self.started, &bytes[..end], &mut on_event);
            } else {
                self.line.extend_from_slice(&bytes[..end]);
                take_line(&mut self.data, &mut self.started, &self.line, &mut on_event);
                self.line.clear();
            }
            self.check_length()?;
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// Whether the stream stopped within an event.
    pub fn is_within_event(&self) -> bool {
        !self.line.is_empty() || !self.data.is_empty()
    }

    fn check_length(&self) -> Result<(), DecodeError> {
        if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
            Err(DecodeError::TooLong)
        } else {
            Ok(())
        }
    }
}

fn take_line(
    data: &mut Vec<u8>,
    started: &mut bool,
    line: &[u8],
    on_event: &mut impl FnMut(&[u8]),
) {
    let line = if std::mem::replace(started, true) {
        line
    } else {
        line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
    };
    if line.is_empty() {
        if let Some((_, event)) = data.split_last() {
            on_event(event);
        }
        data.clear();
    } else if let Some(value) = line.strip_prefix(b"data:") {
        data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        data.push(b'\n');
    } else if line == b"data" {
        data.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let mut decoder = Decoder::new();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece, |data| events.push(data.to_vec())).unwrap();
        }
        (events, decoder.is_within_event())
    }

    #[test]
    fn each_rule_of_the_format_holds() {
        for (stream, expected) in [
            ("data: a\n\n", &["a"][..]),
            ("data:a\r\n\r\n", &["a"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data:  a\n\n", &[" a"]),
            ("data\n\n", &[""]),
            (": comment\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", &["a"]),
            ("event: x\n\n", &[]),
            ("data: unfinished\n", &[]),
            ("database: no\n\n", &[]),
        ] {
            let (events, _) = decode(&[stream.as_bytes()]);
            assert_eq!(
                events,
                expected.iter().map(|event| event.as_bytes()).collect::<Vec<_>>(),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn an_unfinished_event_is_noticed() {
        assert!(decode(&[b"data: a\n"]).1);
        assert!(decode(&[b"dat"]).1);
        assert!(!decode(&[b"data: a\n\n"]).1);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut decoder = Decoder::new();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..5).find_map(|_| decoder.push(&piece, |_| ()).err());
        assert_eq!(refused, Some(DecodeError::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_split_of_the_bytes_gives_the_same_events(
            stream in "(data: ?[a-z\u{e9}{}\": ]{0,12}|: ping|data|event: x|[a-z]{0,5}|)((\n|\r\n|\r){1,2}(data: ?[a-z\u{e9}]{0,9}|: p|id: 3|)){0,12}",
            cuts in proptest::collection::vec(0_usize..200, 0..12),
        ) {
            let bytes = stream.as_bytes();
            let whole = decode(&[bytes]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&decode(&pieces), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&decode(&single), &whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
            let cut = cut.min(bytes.len());
            let whole = decode(&[&bytes]);
            prop_assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]]), whole);
        }
    }
}
