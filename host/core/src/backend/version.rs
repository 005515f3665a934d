//! Versions of engines: their order, and the bounds that a release covers.

/// Whether a version satisfies a list of bounds such as `>=0.33.0, <0.34.0`.
#[must_use]
pub fn covers(bounds: &str, version: &str) -> bool {
    let version = version_number(version);
    bounds.split(',').map(str::trim).all(|bound| {
        let split = bound.find(|c: char| c.is_ascii_digit()).unwrap_or(bound.len());
        let (operator, limit) = bound.split_at(split);
        let limit = version_number(limit);
        match operator.trim() {
            ">=" => version >= limit,
            ">" => version > limit,
            "<=" => version <= limit,
            "<" => version < limit,
            "=" | "==" | "" => version == limit,
            _ => false,
        }
    })
}

/// A version's first three numbers; what follows them, as in `0.24.0+cu130` or `1.2.0rc1`, does not order here.
#[must_use]
pub fn version_number(version: &str) -> [u64; 3] {
    let mut parts = version.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bounds_hold_of_the_numbers_of_a_version() {
        assert!(covers(">=0.24.0, <0.25.0", "0.24.1+cu130"));
        assert!(!covers(">=0.24.0, <0.25.0", "0.25.0"));
        assert!(covers("1.2.1", "1.2.1rc1"));
        assert!(!covers("~1.2.1", "1.2.1"));
    }
}
