//! Takes the values of secrets out of whatever is kept or shown.

/// What stands in the place of a secret.
const MASK: &str = "[secret]";
/// Shorter lines of a longer value are no secrets: `}` would be one.
const SHORTEST_LINE: usize = 8;

/// Values that must be seen nowhere.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// Takes the values; longer ones are looked for first, so that none is cut by one that it contains. Of a value of several
    /// lines each counts, since logs are lines.
    pub fn new<'v>(values: impl IntoIterator<Item = &'v String>) -> Self {
        let mut all = Vec::new();
        for value in values {
            all.push(value.trim());
            if value.trim().contains('\n') {
                let is_long = |it: &&str| it.len() >= SHORTEST_LINE;
                all.extend(value.lines().map(str::trim).filter(is_long));
            }
        }
        let mut values: Vec<String> =
            all.into_iter().filter(|it| !it.is_empty()).map(str::to_owned).collect();
        values.sort_by_key(|it| std::cmp::Reverse(it.len()));
        values.dedup();
        Self(values)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The text without any of them.
    pub fn mask(&self, text: String) -> String {
        self.0.iter().filter(|it| !it.is_empty()).fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        })
    }

    /// The text, which was cut at its end, without any of them and without the begin of one at its end.
    pub fn mask_cut(&self, text: String) -> String {
        let mut text = self.mask(text);
        let begins = |text: &str, secret: &str| {
            let lengths = (1..secret.len()).rev().filter(|it| secret.is_char_boundary(*it));
            lengths.into_iter().find(|it| text.ends_with(&secret[..*it]))
        };
        // A newline may have been put at the end of what was cut.
        let end = text.strip_suffix('\n').unwrap_or(&text);
        let cut = self.0.iter().filter_map(|it| begins(end, it)).max().unwrap_or(0);
        let end = end.len();
        text.replace_range(end - cut..end, "");
        text
    }

    /// JSON without any of them, as text or within its strings.
    pub fn mask_json(&self, json: String) -> String {
        let quoted = |it: &String| {
            let text = serde_json::to_string(it).expect("a string is JSON");
            text[1..text.len() - 1].to_owned()
        };
        Self(self.0.iter().map(quoted).collect()).mask(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_masked_in_text_and_json_and_never_shown() {
        let secrets = Secrets::new([&"hf_ab".to_owned(), &"hf_abc\"d".to_owned(), &" ".to_owned()]);
        assert_eq!(secrets.mask("x hf_abc\"d hf_ab".into()), "x [secret] [secret]");
        let key = Secrets::new([&"-----\nMIIEpAIBAAKC\n}\n".to_owned()]);
        assert_eq!(key.mask("{ MIIEpAIBAAKC }".into()), "{ [secret] }");
        let json = serde_json::json!({ "message": "token hf_abc\"d" }).to_string();
        assert_eq!(secrets.mask_json(json), r#"{"message":"token [secret]"}"#);
        assert!(!format!("{secrets:?}").contains("hf_"));
    }
}
