//! What devices can do at most, as their vendors state it.
//!
//! The table is data; a device that is not in it has no peak, and no utilisation is made up.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("peaks.toml")).expect("the table was tested"));

/// Formats of numbers that have a peak of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberFormat {
    /// IEEE single precision, without tensor cores.
    Fp32,
    /// IEEE half precision on tensor cores.
    Fp16,
    /// Brain floating point on tensor cores.
    Bf16,
    /// Eight-bit floating point on tensor cores.
    Fp8,
}

impl NumberFormat {
    /// The format that engines and configurations call so; none for anything else, `auto` included.
    ///
    /// ```
    /// use llem_core::flops::NumberFormat;
    /// assert_eq!(NumberFormat::from_name("torch.bfloat16"), Some(NumberFormat::Bf16));
    /// assert_eq!(NumberFormat::from_name("auto"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        match name.strip_prefix("torch.").unwrap_or(name) {
            "float32" | "fp32" | "f32" | "float" => Some(Self::Fp32),
            "float16" | "fp16" | "f16" | "half" => Some(Self::Fp16),
            "bfloat16" | "bf16" => Some(Self::Bf16),
            "fp8" | "float8_e4m3fn" | "float8" => Some(Self::Fp8),
            _ => None,
        }
    }
}

/// The most that one device can do.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peak {
    /// Names as the driver states them.
    pub names: Vec<String>,
    /// Dense operations per second.
    pub fp32: Option<f64>,
    /// Dense operations per second.
    pub fp16: Option<f64>,
    /// Dense operations per second.
    pub bf16: Option<f64>,
    /// Dense operations per second.
    pub fp8: Option<f64>,
    /// Memory bandwidth in bytes per second.
    pub memory_bytes_per_second: f64,
    /// Where the figures are from.
    pub source: String,
}

#[derive(Debug, Deserialize)]
struct Table {
    device: Vec<Peak>,
}

/// The peak of a device by its name, if it is known.
///
/// ```
/// use llem_core::flops::{NumberFormat, peak};
/// let h100 = peak("NVIDIA H100 80GB HBM3").unwrap();
/// assert_eq!(h100.dense(NumberFormat::Bf16), Some(989.4e12));
/// assert!(peak("NVIDIA X1").is_none());
/// ```
pub fn peak(device: &str) -> Option<&'static Peak> {
    TABLE.device.iter().find(|peak| peak.names.iter().any(|name| name == device))
}

impl Peak {
    /// Dense operations per second in a format.
    pub fn dense(&self, format: NumberFormat) -> Option<f64> {
        match format {
            NumberFormat::Fp32 => self.fp32,
            NumberFormat::Fp16 => self.fp16,
            NumberFormat::Bf16 => self.bf16,
            NumberFormat::Fp8 => self.fp8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiprocessors, dense operations in FP16 of a multiprocessor's tensor cores in a clock, and boost clock in MHz: an
    /// own way to the same peak. They were written down without the vendor's documents at hand and are still to be compared
    /// with them. Peaks in FP32 are 2 for each of 64 or 128 cores.
    const UNITS: &[(&str, f64, f64, f64)] = &[
        ("NVIDIA H100 80GB HBM3", 132.0, 4096.0, 1830.0),
        ("NVIDIA H100 PCIe", 114.0, 4096.0, 1620.0),
        ("NVIDIA H200", 132.0, 4096.0, 1830.0),
        ("NVIDIA A100-SXM4-80GB", 108.0, 2048.0, 1410.0),
        ("NVIDIA A100 80GB PCIe", 108.0, 2048.0, 1410.0),
        ("NVIDIA A100-SXM4-40GB", 108.0, 2048.0, 1410.0),
        ("NVIDIA L4", 58.0, 1024.0, 2040.0),
        ("NVIDIA L40S", 142.0, 1024.0, 2520.0),
        ("NVIDIA A10", 72.0, 1024.0, 1695.0),
        ("Tesla T4", 40.0, 1024.0, 1590.0),
        ("Tesla V100-SXM2-16GB", 80.0, 1024.0, 1530.0),
        ("NVIDIA GeForce RTX 4090", 128.0, 512.0, 2520.0),
        ("NVIDIA GeForce RTX 3090", 82.0, 512.0, 1695.0),
    ];

    #[test]
    fn every_peak_follows_from_units_and_clock() {
        for device in &TABLE.device {
            let (_, units, per_clock, megahertz) = UNITS
                .iter()
                .find(|(name, ..)| device.names.iter().any(|it| it == name))
                .unwrap_or_else(|| panic!("{:?} has no units here", device.names));
            let expected = units * per_clock * megahertz * 1e6;
            let stated = device.fp16.expect("all have tensor cores");
            assert!((stated / expected - 1.0).abs() < 0.015, "{:?}: {expected}", device.names);
            // Where they are supported, BF16 is as fast and FP8 twice as fast.
            assert!(device.bf16.is_none_or(|it| it.total_cmp(&stated).is_eq()), "{device:?}");
            assert!(device.fp8.is_none_or(|it| (it / stated - 2.0).abs() < 0.03), "{device:?}");
        }
    }

    #[test]
    fn names_are_unique_and_every_row_has_a_source() {
        let mut names: Vec<&String> = TABLE.device.iter().flat_map(|peak| &peak.names).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(TABLE.device.iter().all(|peak| !peak.source.is_empty()));
    }
}
