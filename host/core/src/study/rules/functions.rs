//! Functions that rules may call.

use super::eval::V;

/// A function of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Min,
    Max,
    Count,
    Unique,
    Contains,
    StartsWith,
    EndsWith,
    Lower,
}

impl Function {
    /// Names, functions, and least and most numbers of arguments; the receiver of a method counts.
    pub(super) const NAMES: [(&'static str, Self, usize, usize); 9] = [
        ("size", Self::Size, 1, 1),
        ("min", Self::Min, 1, 8),
        ("max", Self::Max, 1, 8),
        ("count", Self::Count, 1, 16),
        ("unique", Self::Unique, 1, 1),
        ("contains", Self::Contains, 2, 2),
        ("startsWith", Self::StartsWith, 2, 2),
        ("endsWith", Self::EndsWith, 2, 2),
        ("lowerAscii", Self::Lower, 1, 1),
    ];

    pub(super) fn named(name: &str, args: usize) -> Option<Self> {
        let (_, function, least, most) =
            Self::NAMES.into_iter().find(|(known, ..)| *known == name)?;
        (least..=most).contains(&args).then_some(function)
    }

    pub(super) fn call(self, args: Vec<V<'_>>) -> V<'_> {
        let mut args = args.into_iter();
        let first = args.next().unwrap_or(V::Unknown);
        match self {
            Self::Size => match first.items() {
                Some(items) => V::length(items.len()),
                None => first.text().map_or(V::Unknown, |text| V::length(text.chars().count())),
            },
            Self::Min | Self::Max => extreme(self == Self::Max, first, args),
            // How many are there, neither null nor false.
            Self::Count => std::iter::once(first)
                .chain(args)
                .try_fold(0, |count, value| match value {
                    V::Unknown => None,
                    V::Null | V::Bool(false) => Some(count),
                    _ => Some(count + 1),
                })
                .map_or(V::Unknown, V::Int),
            Self::Unique => match first.items() {
                Some(items) => {
                    let twice = items.iter().enumerate().any(|(at, item)| {
                        items[..at].iter().any(|it| it.equals(item) == Some(true))
                    });
                    V::Bool(!twice)
                }
                None => V::Unknown,
            },
            Self::Contains => {
                let needle = args.next().unwrap_or(V::Unknown);
                match first.items() {
                    Some(_) => needle.is_in(&first),
                    None => texts(&first, &needle, |text, part| text.contains(part)),
                }
            }
            Self::StartsWith => texts(&first, &args.next().unwrap_or(V::Unknown), |text, part| {
                text.starts_with(part)
            }),
            Self::EndsWith => {
                texts(&first, &args.next().unwrap_or(V::Unknown), |text, part| text.ends_with(part))
            }
            Self::Lower => {
                first.text().map_or(V::Unknown, |text| V::Text(text.to_ascii_lowercase().into()))
            }
        }
    }
}

/// A question about two texts; of null the answer is no.
fn texts<'a>(text: &V<'_>, part: &V<'_>, ask: impl Fn(&str, &str) -> bool) -> V<'a> {
    match (text, part) {
        (V::Null, _) => V::Bool(false),
        _ => match (text.text(), part.text()) {
            (Some(text), Some(part)) => V::Bool(ask(text, part)),
            _ => V::Unknown,
        },
    }
}

fn extreme<'a>(most: bool, first: V<'a>, rest: impl Iterator<Item = V<'a>>) -> V<'a> {
    let all: Vec<V<'a>> = match first.items() {
        Some(items) => items,
        None => std::iter::once(first).chain(rest).collect(),
    };
    let mut best: Option<V<'a>> = None;
    for value in all {
        let Some(number) = value.number() else { return V::Unknown };
        let better = best
            .as_ref()
            .and_then(V::number)
            .is_none_or(|it| if most { number > it } else { number < it });
        if better {
            best = Some(value);
        }
    }
    best.unwrap_or(V::Unknown)
}
