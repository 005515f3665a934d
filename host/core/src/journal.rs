//! The lines of a journal: a checksum, a space, JSON.
//!
//! A crash can at worst tear the last line, which counts as not written; any other damage is an error that names the
//! line, because silently losing a record is worse than stopping. Files are the host's.

/// Characters of a checksum.
const CHECKSUM_CHARS: usize = 16;

/// A line that was changed after it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is damaged: its checksum does not fit")]
pub struct Damaged {
    /// Counted from 1.
    pub line: usize,
}

/// The line of an entry.
///
/// ```
/// use llem_core::journal::{line, lines};
/// let text = line("{}");
/// assert_eq!(lines(text.as_bytes()).unwrap(), (vec![&b"{}"[..]], text.len()));
/// ```
pub fn line(json: &str) -> String {
    format!("{} {json}\n", checksum(json.as_bytes()))
}

/// The entries of a journal and the length of what is whole.
pub fn lines(bytes: &[u8]) -> Result<(Vec<&[u8]>, usize), Damaged> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let damaged = Damaged { line: entries.len() + 1 };
        let Some(end) = bytes[at..].iter().position(|it| *it == b'\n').map(|it| at + it) else {
            // Without its line feed, the last line was never acknowledged.
            return Ok((entries, at));
        };
        let (sum, json) = bytes[at..end].split_at_checked(CHECKSUM_CHARS).ok_or(damaged)?;
        let json = json.strip_prefix(b" ").ok_or(damaged)?;
        if checksum(json).as_bytes() != sum {
            return Err(damaged);
        }
        entries.push(json);
        at = end + 1;
    }
    Ok((entries, at))
}

fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..CHECKSUM_CHARS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_counts_as_not_written_and_damage_before_it_is_named() {
        let text = line("{\"a\":1}") + &line("{}");
        let first = line("{\"a\":1}").len();
        for cut in first..text.len() {
            assert_eq!(lines(&text.as_bytes()[..cut]).expect("it is torn").1, first);
        }
        let mut bad = text.into_bytes();
        bad[first + 18] ^= 1;
        assert_eq!(lines(&bad), Err(Damaged { line: 2 }));
    }
}
