//! What each figure is, with its unit and which direction is better: the headings of tables, charts
//! and exported columns.

use llem_core::stats::pareto::Better;

/// A figure's description.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name with its unit as suffix.
    pub name: String,
    /// Name for people, without the unit.
    pub title: String,
    /// Unit symbol; empty for a plain number.
    pub unit: &'static str,
    /// What is better, where that is clear.
    pub better: Option<Better>,
}

/// Suffixes of names, their unit.
const UNITS: [(&str, &str); 14] = [
    ("_token_throughput_per_second", "tokens/s"),
    ("_request_throughput_per_second", "requests/s"),
    ("goodput_per_second", "requests/s"),
    ("_tokens_per_joule", "tokens/J"),
    ("_flops_per_joule", "FLOP/J"),
    ("_flops_per_second", "FLOP/s"),
    ("_joules", "J"),
    ("_watts", "W"),
    ("_seconds", "s"),
    ("_kilograms", "kg"),
    ("_grams", "g"),
    ("_celsius", "°C"),
    ("_bytes", "B"),
    ("_per_second", "1/s"),
];

/// The description of a figure by its name; every figure has one, because names follow a rule.
///
/// ```
/// use llem::results::column;
/// let energy = column("energy_per_output_token_joules");
/// assert_eq!((energy.title.as_str(), energy.unit), ("Energy per output token", "J"));
/// assert_eq!(column("time_to_first_token_p50_seconds").title, "Time to first token p50");
/// ```
pub fn column(name: &str) -> Column {
    let unit = if name.starts_with("request_throughput") {
        "requests/s"
    } else {
        UNITS.iter().find(|(suffix, _)| name.ends_with(suffix)).map_or("", |(_, unit)| unit)
    };
    let endings = [
        "_per_second",
        "_joules",
        "_watts",
        "_seconds",
        "_kilograms",
        "_grams",
        "_celsius",
        "_bytes",
    ];
    let bare = endings.iter().find_map(|it| name.strip_suffix(it)).unwrap_or(name);
    let mut title = bare.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let better = match unit {
        "tokens/s" | "requests/s" | "tokens/J" | "FLOP/J" | "FLOP/s" => Some(Better::Higher),
        "J" | "s" | "kg" | "g" => Some(Better::Lower),
        _ => None,
    };
    Column { name: name.to_owned(), title, unit, better }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_directions_follow_from_names() {
        let of = |name| {
            let column = column(name);
            (column.title, column.unit, column.better)
        };
        assert_eq!(
            of("request_throughput_per_second"),
            ("Request throughput".into(), "requests/s", Some(Better::Higher))
        );
        assert_eq!(
            of("output_token_throughput_per_second"),
            ("Output token throughput".into(), "tokens/s", Some(Better::Higher))
        );
        assert_eq!(of("average_power_watts"), ("Average power".into(), "W", None));
        assert_eq!(of("mystery"), ("Mystery".into(), "", None));
    }
}
