//! Texts as HTML and as JSON within HTML, so that nothing in them can leave its place.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::diagnostics::printable;

/// A text of any length, escaped.
pub(super) struct Text<'a>(pub(super) &'a str);

/// A name, escaped and cut where it is longer than a page can show.
pub(super) struct Name<'a>(pub(super) &'a str);

/// The most characters of a name.
const MOST: usize = 200;

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in printable(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{2028}' | '\u{2029}' => write!(f, "{}", c.escape_unicode())?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MOST) {
            Some((end, _)) => write!(f, "{}…", Text(&self.0[..end])),
            None => Text(self.0).fmt(f),
        }
    }
}

/// JSON that can stand in a script element: what could end the element or a line, or reorder text, is escaped, which in JSON is only
/// found within strings.
pub(super) fn json(value: &impl Serialize) -> String {
    let plain = serde_json::to_string(value).expect("what llem writes has string keys only");
    let is_special = |c: char| matches!(c, '<' | '>' | '&' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let mut safe = String::with_capacity(plain.len() + plain.len() / 16);
    let mut rest = plain.as_str();
    while let Some(at) = rest.find(is_special) {
        let (before, from) = rest.split_at(at);
        safe.push_str(before);
        let c = from.chars().next().expect("one was found");
        write!(safe, "\\u{:04x}", u32::from(c)).expect("writing to a string does not fail");
        rest = &from[c.len_utf8()..];
    }
    safe.push_str(rest);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let hostile = "</script><img src=x onerror=\"alert('1')\">&\u{202e}";
        let shown = Text(hostile).to_string();
        assert!(!shown.contains(['<', '>', '"', '\'', '\u{202e}']), "{shown}");
        let long = "x".repeat(10_000);
        assert_eq!(Name(&long).to_string().chars().count(), MOST + 1);
    }

    #[test]
    fn json_in_a_page_is_the_same_json_without_markup() {
        let hostile = "</script><!-- & \u{2028}\u{2029} \"\\ é";
        let safe = json(&[hostile]);
        assert!(!safe.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{safe}");
        let read: Vec<String> = serde_json::from_str(&safe).expect("it is JSON");
        assert_eq!(read, [hostile]);
    }
}
