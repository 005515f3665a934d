//! Warnings that differ in numbers only, as one with the range of each number.

use std::collections::BTreeMap;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Words(String),
    Number(String),
}

/// Warnings with how many trials had each; alike ones are together, and a trial then counts once for each.
pub(super) fn grouped(warnings: &[(String, u32)]) -> Vec<(String, u32)> {
    let mut groups: BTreeMap<String, Vec<(Vec<Piece>, u32)>> = BTreeMap::new();
    for (text, trials) in warnings {
        let pieces = pieces(text);
        let shape = pieces.iter().map(|it| match it {
            Piece::Words(words) => words.as_str(),
            Piece::Number(_) => "\u{0}",
        });
        groups.entry(shape.collect()).or_default().push((pieces, *trials));
    }
    groups.into_values().map(|it| together(&it)).collect()
}

/// Numbers stand for themselves: what is in backticks, or joined to a letter, is a name.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut quoted = false;
    for word in text.split_inclusive(' ') {
        let bare = word.trim_end_matches([' ', ',', ';', ':', '.']);
        let is_number = !quoted && bare.parse::<f64>().is_ok_and(f64::is_finite);
        quoted ^= word.matches('`').count() % 2 == 1;
        if is_number {
            pieces.push(Piece::Number(bare.to_owned()));
            pieces.push(Piece::Words(word[bare.len()..].to_owned()));
        } else {
            pieces.push(Piece::Words(word.to_owned()));
        }
    }
    pieces
}

fn together(alike: &[(Vec<Piece>, u32)]) -> (String, u32) {
    let number = |it: &str| it.parse::<f64>().unwrap_or_default();
    let text = (0..alike[0].0.len()).map(|at| match &alike[0].0[at] {
        Piece::Words(words) => words.clone(),
        Piece::Number(first) => {
            let mut all: Vec<&str> = alike
                .iter()
                .map(|(pieces, _)| match &pieces[at] {
                    Piece::Number(it) | Piece::Words(it) => it.as_str(),
                })
                .collect();
            all.sort_by(|one, other| number(one).total_cmp(&number(other)));
            match (all.first(), all.last()) {
                (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
                _ => first.clone(),
            }
        }
    });
    (text.collect(), alike.iter().map(|(_, trials)| trials).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(warnings: &[(&str, u32)], expected: &[(&str, u32)]) {
        let owned = |of: &[(&str, u32)]| -> Vec<(String, u32)> {
            of.iter().map(|(text, trials)| ((*text).to_owned(), *trials)).collect()
        };
        assert_eq!(grouped(&owned(warnings)), owned(expected));
    }

    #[test]
    fn what_differs_in_a_number_only_is_one_warning_with_its_range() {
        check(
            &[
                ("`GPU-2 a`: held down for 7 % of a window", 1),
                ("`GPU-2 a`: held down for 16 % of a window", 2),
            ],
            &[("`GPU-2 a`: held down for 7 to 16 % of a window", 3)],
        );
    }

    #[test]
    fn other_words_and_names_are_other_warnings() {
        let two = [("`GPU 1`: hot", 1), ("`GPU 2`: hot", 1)];
        check(&two, &two);
        check(&[("it took 5 s.", 4)], &[("it took 5 s.", 4)]);
    }
}
