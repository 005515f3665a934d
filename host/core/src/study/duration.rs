//! Durations as studies write them: `"500ms"`, `"30s"`, `"5min"`, `"1.5h"`.

use std::time::Duration;

use super::problem::Fault;

const UNITS: [(&str, f64); 5] =
    [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)];

/// Reads a duration above zero.
pub(super) fn parse(text: &str) -> Result<Duration, Fault> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let fault = || {
        Fault::new(format!("expected a duration, found \"{text}\""))
            .help("a number and `us`, `ms`, `s`, `min` or `h`, such as \"30s\"")
    };
    let number: f64 = number.parse().map_err(|_| fault())?;
    let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(fault)?;
    let seconds = number * scale;
    if seconds <= 0.0 || seconds > 1e8 {
        return Err(Fault::new(format!(
            "expected a duration above 0 and below 1000 days, found \"{text}\""
        )));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| fault())
}

/// Reads a duration as studies write it, for a command line; the error is a message.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(llem_core::study::parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text).map_err(|fault| match fault.help {
        Some(help) => format!("{}; {help}", fault.message),
        None => fault.message,
    })
}

/// Reads a duration that may be zero.
pub(super) fn parse_pause(text: &str) -> Result<Duration, Fault> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let is_known = UNITS.iter().any(|(unit, _)| *unit == text[split..].trim());
    match text[..split].parse::<f64>() {
        Ok(number) if number == 0.0 && is_known => Ok(Duration::ZERO),
        _ => parse(text),
    }
}

/// The shortest text that reads back as the same duration.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(llem_core::study::duration_text(Duration::from_millis(1_500)), "1.5s");
/// ```
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (unit, scale) =
        if seconds >= 60.0 && duration.subsec_nanos() == 0 && duration.as_secs().is_multiple_of(60)
        {
            ("min", 60.0)
        } else if seconds >= 1.0 {
            ("s", 1.0)
        } else if duration.as_nanos() >= 1_000_000 {
            ("ms", 1e-3)
        } else {
            ("us", 1e-6)
        };
    let number = (seconds / scale * 1e6).round() / 1e6;
    format!("{number}{unit}")
}

/// Durations on the wire: a number of seconds.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Durations that may be missing, on the wire.
pub(super) mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "the shape that serde calls")]
    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&duration.as_secs_f64()),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(deserializer)?
            .map(|seconds| Duration::try_from_secs_f64(seconds).map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5min", 300_000),
            ("1.5h", 5_400_000),
            ("2 s", 2_000),
        ] {
            assert_eq!(parse(text).ok(), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "0s", "5m", "1e3s", "30 seconds"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pause_may_be_none() {
        assert_eq!(parse_pause("0s").ok(), Some(Duration::ZERO));
        assert_eq!(parse_pause("0.0 min").ok(), Some(Duration::ZERO));
        assert_eq!(parse_pause("2s").ok(), Some(Duration::from_secs(2)));
        for text in ["0", "0 years", "-0s", ""] {
            assert!(parse_pause(text).is_err(), "{text}");
        }
        assert_eq!(parse_pause(&duration_text(Duration::ZERO)).ok(), Some(Duration::ZERO));
    }

    #[test]
    fn a_duration_reads_back_from_its_text() {
        for micros in
            [1, 999, 1_000, 12_345, 1_000_000, 59_500_000, 60_000_000, 90_000_000, 7_200_000_000]
        {
            let duration = Duration::from_micros(micros);
            assert_eq!(parse(&duration_text(duration)), Ok(duration), "{micros}");
        }
    }
}
