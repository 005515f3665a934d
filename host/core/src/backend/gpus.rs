//! GPUs by short name, so that a study can be planned for a machine that is not at hand.
//!
//! The table is data. What a driver says of a real GPU is read elsewhere and goes before it.

use std::{str::FromStr, sync::LazyLock};

use serde::Deserialize;

use super::GpuFacts;

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("gpus.toml")).expect("the table was tested"));

#[derive(Debug, Deserialize)]
struct Table {
    gpu: Vec<Known>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    short: Vec<String>,
    name: String,
    memory_mib: u32,
    compute_capability: u32,
}

/// Why a text names no GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no GPU is known as `{found}`; there are {}, each also as in `4xh100`", known.join(", "))]
pub struct UnknownGpu {
    /// What was asked for.
    pub found: String,
    /// What there is.
    pub known: Vec<String>,
}

impl FromStr for GpuFacts {
    type Err = UnknownGpu;

    /// One GPU by its short name or the driver's name for it, or several as in `4xh100`.
    ///
    /// ```
    /// use llem_core::backend::GpuFacts;
    /// let gpus: GpuFacts = "4xH100".parse().unwrap();
    /// assert_eq!((gpus.count, gpus.compute_capability), (4, Some(90)));
    /// assert!("h1000".parse::<GpuFacts>().unwrap_err().to_string().contains("h100"));
    /// ```
    fn from_str(text: &str) -> Result<Self, UnknownGpu> {
        let wanted = text.to_ascii_lowercase();
        let several = wanted.split_once('x').and_then(|(count, name)| {
            let count = count.parse::<u32>().ok().filter(|it| *it > 0)?;
            Some((count, name))
        });
        let (count, name) = several.unwrap_or((1, &wanted));
        let is_it = |gpu: &&Known| {
            gpu.short.iter().any(|it| it == name) || gpu.name.to_ascii_lowercase() == name
        };
        let found = TABLE.gpu.iter().find(is_it).ok_or_else(|| UnknownGpu {
            found: text.to_owned(),
            known: TABLE.gpu.iter().map(|it| it.short[0].clone()).collect(),
        })?;
        Ok(Self {
            vendor: "nvidia".to_owned(),
            name: found.name.clone(),
            count,
            memory_mib: found.memory_mib,
            compute_capability: Some(found.compute_capability),
            driver: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_short_name_is_one_gpu_and_every_entry_is_found_by_each_of_its_names() {
        let mut seen = BTreeSet::new();
        for known in &TABLE.gpu {
            for name in known.short.iter().chain([&known.name]) {
                assert!(seen.insert(name.to_ascii_lowercase()), "{name} twice");
                let found: GpuFacts = name.parse().expect("it is in the table");
                assert_eq!((found.name, found.count), (known.name.clone(), 1));
            }
        }
    }
}
