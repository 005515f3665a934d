//! One message a line, at most 16 MiB.

use serde::{Serialize, de::DeserializeOwned};

/// Longest accepted line, line feed included.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The line exceeds [`MAX_LINE_BYTES`].
    #[error("read a protocol line of {found} bytes, at most {MAX_LINE_BYTES} are allowed")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// The line is not a message of the protocol.
    #[error("read a line that is no `llem-batch/1` message: `{start}`")]
    NotAMessage {
        /// The first characters of the line.
        start: String,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

/// Encodes a message as one line, line feed included.
///
/// ```
/// let line = llem_batch::encode(&llem_batch::Request::Quit);
/// assert_eq!(line, "{\"op\":\"quit\"}\n");
/// ```
///
/// # Panics
/// On a value that has no JSON, which no message of this crate is.
pub fn encode<T: Serialize>(message: &T) -> String {
    let mut line = serde_json::to_string(message).expect("messages have string keys only");
    line.push('\n');
    line
}

/// Decodes one line, with or without its line feed.
///
/// ```
/// let event: llem_batch::Event = llem_batch::decode("{\"ev\":\"bye\"}\n").unwrap();
/// assert_eq!(event, llem_batch::Event::Bye);
/// ```
pub fn decode<T: DeserializeOwned>(line: &str) -> Result<T, CodecError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(CodecError::TooLong { found: line.len() });
    }
    serde_json::from_str(line.trim_end()).map_err(|source| CodecError::NotAMessage {
        start: line.trim_end().chars().take(120).collect(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Event, Generate, Prompts, Request, decode, encode};

    #[test]
    fn generate_carries_token_prompts_under_their_own_name() {
        let request = Request::Generate(Generate {
            id: 7,
            prompts: Prompts::Tokens(vec![vec![1, 2, 3]]),
            max_tokens: 128,
            exact: true,
            settings: serde_json::Map::new(),
            return_text: false,
        });
        let line = encode(&request);
        assert!(
            line.contains(r#""op":"generate""#) && line.contains(r#""prompts":[[1,2,3]]"#),
            "{line}"
        );
        assert_eq!(decode::<Request>(&line).expect("it round-trips"), request);
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_messages_are_errors() {
        let begin: Event =
            decode(r#"{"ev":"begin","id":1,"at_ns":5,"later":true}"#).expect("known message");
        assert_eq!(begin, Event::Begin { id: 1, at_ns: 5 });
        let error = decode::<Event>(r#"{"ev":"sing"}"#).expect_err("unknown message");
        assert!(error.to_string().contains("sing"), "{error}");
    }

    #[test]
    fn a_line_over_the_limit_is_refused() {
        let line = "x".repeat(super::MAX_LINE_BYTES + 1);
        assert!(decode::<Event>(&line).expect_err("too long").to_string().contains("at most"));
    }
}
