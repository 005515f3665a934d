//! The Prometheus text format: a page in, samples of the wanted series out.
//!
//! Fetches nothing. Help, types and time stamps are skipped; lines that are no samples are counted,
//! because an engine's page may be newer than this reader.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A series of an engine's page and what it is called here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name on the page: `vllm:num_requests_running`; for a histogram with its `_sum` or `_count`.
    pub name: String,
    /// Only samples that carry these labels.
    pub labels: Vec<(String, String)>,
    /// Name in results: `requests-running`.
    pub target: String,
    /// Factor to the unit of the target.
    pub scale: f64,
}

/// One sample of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series.
    pub name: String,
    /// Its labels, in the order of the page.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

/// Reads one line; none for comments, blank lines and what is no sample.
///
/// ```
/// let sample = llem_load::prometheus::parse_line(r#"running{engine="0"} 3.0"#).unwrap();
/// assert_eq!((sample.name.as_str(), sample.value), ("running", 3.0));
/// ```
pub fn parse_line(line: &str) -> Option<Sample> {
    let line = line.trim();
    let name_end = line.find(|character: char| character == '{' || character.is_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => parse_labels(inside)?,
        None => (Vec::new(), rest),
    };
    // Rust reads `NaN`, `+Inf` and `-Inf` as the format writes them.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

fn parse_labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after_key) = rest.split_once("=\"")?;
        let (value, after_value) = parse_quoted(after_key)?;
        labels.push((key.trim().to_owned(), value));
        rest = after_value;
    }
}

/// Reads up to the closing quote and resolves the three escapes of the format.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            _ => value.push(character),
        }
    }
    None
}

/// The values of the wanted series on a page, by target. Samples of one series that differ in other labels, such as
/// several engines behind one server, are added up, or averaged where the target is a `_ratio`. A series that the page
/// lacks is absent.
///
/// ```
/// use llem_load::prometheus::{Series, read_series};
/// let running = Series { name: "running".into(), labels: vec![], target: "requests-running".into(), scale: 1.0 };
/// let values = read_series("running{engine=\"0\"} 3\nrunning{engine=\"1\"} 4\n", &[running]);
/// assert_eq!(values["requests-running"], 7.0);
/// ```
pub fn read_series(page: &str, wanted: &[Series]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for sample in page.lines().filter_map(parse_line) {
        for series in wanted {
            let is_wanted = series.name == sample.name
                && series.labels.iter().all(|label| sample.labels.contains(label));
            if is_wanted {
                let (sum, samples) = sums.entry(&series.target).or_default();
                *sum += sample.value * series.scale;
                *samples += 1.0;
            }
        }
    }
    let value = |(target, (sum, samples)): (&str, (f64, f64))| {
        let is_ratio = target.ends_with("_ratio");
        (target.to_owned(), if is_ratio { sum / samples } else { sum })
    };
    sums.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../../tests/fixtures/vllm/vllm_0.24_metrics.prom");

    fn series(name: &str, labels: &[(&str, &str)], target: &str) -> Series {
        let labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Series { name: name.to_owned(), labels, target: target.to_owned(), scale: 1.0 }
    }

    #[test]
    fn a_recorded_page_is_read_and_its_damaged_lines_are_passed_over() {
        // The recording lost the beginnings of the lines that held a path.
        let lines = || RECORDED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert!(
            lines()
                .filter(|line| !line.starts_with("model\""))
                .all(|line| parse_line(line).is_some())
        );
        assert!(
            lines()
                .filter(|line| line.starts_with("model\""))
                .all(|line| parse_line(line).is_none())
        );
        let wanted = [
            series("http_requests_total", &[("handler", "/v1/completions")], "requests"),
            series("no_such_series", &[], "absent"),
        ];
        let values = read_series(RECORDED, &wanted);
        assert_eq!(values, BTreeMap::from([("requests".to_owned(), 74.0)]));
    }

    #[test]
    fn samples_of_several_engines_are_added_up_after_their_labels_are_matched() {
        let page = "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.25\n\
                    vllm:request_success_total{engine=\"0\",finished_reason=\"stop\"} 3.0\n\
                    vllm:request_success_total{engine=\"1\",finished_reason=\"stop\"} 4.0\n\
                    vllm:request_success_total{engine=\"1\",finished_reason=\"abort\"} 9.0\n";
        let wanted = [
            Series { scale: 100.0, ..series("vllm:kv_cache_usage_perc", &[], "kv-cache-usage") },
            series(
                "vllm:request_success_total",
                &[("finished_reason", "stop")],
                "requests-stopped",
            ),
        ];
        let values = read_series(page, &wanted);
        let expected = [("kv-cache-usage".to_owned(), 25.0), ("requests-stopped".to_owned(), 7.0)];
        assert_eq!(values, BTreeMap::from(expected));
    }

    #[test]
    fn ratios_of_several_engines_are_averaged() {
        let page = "kv{engine=\"0\"} 0.5\nkv{engine=\"1\"} 1.0\n";
        let values = read_series(page, &[series("kv", &[], "kv_cache_usage_ratio")]);
        assert_eq!(values, BTreeMap::from([("kv_cache_usage_ratio".to_owned(), 0.75)]));
    }

    #[test]
    fn escapes_spaces_and_special_values_are_read() {
        let sample = parse_line(r#"a{x="q\"\\\n,}", y="2",} +Inf 1700000000"#).unwrap();
        assert_eq!(sample.labels[0].1, "q\"\\\n,}");
        assert_eq!((sample.labels.len(), sample.value), (2, f64::INFINITY));
        assert!(parse_line("a NaN").unwrap().value.is_nan());
        for line in ["", "# HELP a b", "a", "a{x=\"1\"", "a{x=1} 2", "a b"] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }
}
