//! Who is on a GPU before a trial begins: processes that compute on it, and memory that nobody has given back.

use std::sync::Arc;

use crate::{
    discover::{Instruments, SourceKind},
    nvml::Gpu,
};

/// What a GPU holds at one moment, as its driver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupied {
    /// UUID.
    pub device: String,
    /// Memory in use, the driver's own part included, bytes; none where the driver does not say.
    pub memory_bytes: Option<u64>,
    /// Processes that compute on it, at most 64, by the numbers that the driver's namespace has for them.
    pub processes: Vec<u32>,
}

impl Instruments {
    /// Asks every GPU who is on it.
    pub fn occupied(&self) -> Vec<Occupied> {
        let gpus = self.sources().filter_map(|it| match it {
            SourceKind::Gpu { library, chosen } => Some((library, chosen)),
            SourceKind::Rapl(_) | SourceKind::CpuModel { .. } | SourceKind::Scripted(_) => None,
        });
        let asked = gpus.filter_map(|(library, chosen)| {
            let (memory_bytes, processes) = Gpu::open(&Arc::clone(library), chosen).ok()?.holds();
            Some(Occupied { device: chosen.node.uuid.clone(), memory_bytes, processes })
        });
        asked.collect()
    }
}
