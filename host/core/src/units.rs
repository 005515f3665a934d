//! Physical quantities: one newtype per dimension, always in the unit that the type is named after.
//!
//! Durations are [`std::time::Duration`]; [`Seconds`] exists for figures that may be negative or that
//! go to the wire. Nothing here scales to prefixes, parses text or chooses how many digits to print.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Div, Mul, Neg, Sub},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $symbol:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, JsonSchema, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// The zero quantity.
            pub const ZERO: Self = Self(0.0);

            /// A quantity of this magnitude, in the unit that the type is named after.
            pub const fn new(magnitude: f64) -> Self {
                Self(magnitude)
            }

            /// The magnitude, in the unit that the type is named after.
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, rhs: Self) -> Self {
                Self(self.0 + rhs.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, rhs: Self) {
                self.0 += rhs.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, rhs: Self) -> Self {
                Self(self.0 - rhs.0)
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }

        impl Div for $name {
            type Output = f64;
            fn div(self, rhs: Self) -> f64 {
                self.0 / rhs.0
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                Self(iter.map(Self::get).sum())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)?;
                f.write_str(concat!(" ", $symbol))
            }
        }
    };
}

quantity! {
    /// Energy in joules (J).
    Joules, "J"
}
quantity! {
    /// Power in watts (W).
    Watts, "W"
}
quantity! {
    /// Time in seconds (s); unlike [`Duration`] it may be negative.
    Seconds, "s"
}
quantity! {
    /// Energy per token in joules (J/token).
    JoulesPerToken, "J/token"
}
quantity! {
    /// Energy per request in joules (J/request).
    JoulesPerRequest, "J/request"
}
quantity! {
    /// Tokens per second (token/s).
    TokensPerSecond, "token/s"
}
quantity! {
    /// Requests per second (request/s).
    RequestsPerSecond, "request/s"
}
quantity! {
    /// Tokens per joule (token/J).
    TokensPerJoule, "token/J"
}

/// A whole number as `f64`; exact below 2^53.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact below 2^53")]
pub(crate) const fn whole(number: u64) -> f64 {
    number as f64
}

/// A length as `f64`; exact below 2^53.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact below 2^53")]
pub(crate) const fn length(number: usize) -> f64 {
    number as f64
}

/// A length as a count that goes to the wire.
#[expect(clippy::as_conversions, reason = "usize is at most 64 bits on every supported target")]
pub(crate) const fn count(number: usize) -> u64 {
    number as u64
}

impl Joules {
    /// From a cumulative NVML energy counter, which counts millijoules.
    pub const fn from_millijoules(millijoules: u64) -> Self {
        Self(whole(millijoules) / 1e3)
    }

    /// Energy for each of `tokens`, or nothing where there were none.
    ///
    /// ```
    /// use llem_core::units::Joules;
    /// assert_eq!(Joules::new(30.0).per_token(120).unwrap().get(), 0.25);
    /// assert_eq!(Joules::new(30.0).per_token(0), None);
    /// ```
    pub fn per_token(self, tokens: u64) -> Option<JoulesPerToken> {
        (tokens > 0).then(|| JoulesPerToken(self.0 / whole(tokens)))
    }

    /// Energy for each of `requests`, or nothing where there were none.
    pub fn per_request(self, requests: u64) -> Option<JoulesPerRequest> {
        (requests > 0).then(|| JoulesPerRequest(self.0 / whole(requests)))
    }
}

impl JoulesPerToken {
    /// The same efficiency the other way round, or nothing where it is not positive.
    pub fn inverse(self) -> Option<TokensPerJoule> {
        (self.0 > 0.0).then(|| TokensPerJoule(1.0 / self.0))
    }
}

impl Watts {
    /// From an NVML power reading, which is in milliwatts.
    pub fn from_milliwatts(milliwatts: u32) -> Self {
        Self(f64::from(milliwatts) / 1e3)
    }
}

impl Seconds {
    /// The signed time from `from` to `to`, both on one nanosecond clock.
    ///
    /// ```
    /// use llem_core::units::Seconds;
    /// assert_eq!(Seconds::between(2_000_000_000, 500_000_000).get(), -1.5);
    /// ```
    pub const fn between(from_ns: u64, to_ns: u64) -> Self {
        let distance = whole(from_ns.abs_diff(to_ns)) / 1e9;
        Self(if to_ns < from_ns { -distance } else { distance })
    }
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        Self(duration.as_secs_f64())
    }
}

impl Mul<Duration> for Watts {
    type Output = Joules;
    fn mul(self, rhs: Duration) -> Joules {
        Joules(self.0 * rhs.as_secs_f64())
    }
}

impl Mul<Seconds> for Watts {
    type Output = Joules;
    fn mul(self, rhs: Seconds) -> Joules {
        Joules(self.0 * rhs.0)
    }
}

impl Div<Duration> for Joules {
    type Output = Watts;
    fn div(self, rhs: Duration) -> Watts {
        Watts(self.0 / rhs.as_secs_f64())
    }
}

impl Div<Seconds> for Joules {
    type Output = Watts;
    fn div(self, rhs: Seconds) -> Watts {
        Watts(self.0 / rhs.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quantity_displays_its_magnitude_then_its_symbol() {
        assert_eq!(format!("{:.1}", Watts::from_milliwatts(71_250)), "71.2 W");
    }

    #[test]
    fn a_quantity_is_a_bare_number_on_the_wire() {
        assert_eq!(
            serde_json::to_string(&Joules::from_millijoules(1_500)).expect("a number"),
            "1.5"
        );
    }

    #[test]
    fn nothing_is_divided_by_no_tokens() {
        assert_eq!(Joules::new(1.0).per_token(0), None);
        assert_eq!(JoulesPerToken::ZERO.inverse(), None);
    }

    proptest! {
        #[test]
        fn power_times_time_inverts(milliwatts in 1_u32..1_000_000, millis in 1_u64..10_000_000) {
            let (power, time) = (Watts::from_milliwatts(milliwatts), Duration::from_millis(millis));
            let back = power * time / time;
            prop_assert!((back - power).get().abs() < 1e-9 * power.get());
        }

        #[test]
        fn seconds_between_are_antisymmetric(a in 0_u64..1 << 60, b in 0_u64..1 << 60) {
            prop_assert_eq!(Seconds::between(a, b), -Seconds::between(b, a));
        }
    }
}
