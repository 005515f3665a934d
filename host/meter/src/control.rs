//! Sets power limits and clocks of GPUs and reads back what holds. It is the only part of this package that changes a
//! GPU, and does so only where it is told to.
//!
//! Who may ask for it, and that everything becomes again what it was, is its caller's affair.

use std::{path::Path, sync::Arc};

use thiserror::Error;

use crate::{
    nvml::{Handle, Library},
    sensor::Fault,
};

/// A GPU that can be set.
#[derive(Debug)]
pub struct Control {
    library: Arc<Library>,
    handle: Handle,
    uuid: String,
}

/// Why a GPU can't be set, or asked.
#[derive(Debug, Error)]
pub enum ControlError {
    /// There is no library.
    #[error("{0}")]
    Library(String),
    /// The driver does not show it.
    #[error("the driver shows no GPU `{0}`")]
    Missing(String),
    /// This user may not.
    #[error("this user may not change {gpu}")]
    Denied {
        /// Which.
        gpu: String,
    },
    /// It has no such setting.
    #[error("{gpu}, or its driver, can't {what}")]
    Unsupported {
        /// Which.
        gpu: String,
        /// What was to be done.
        what: &'static str,
    },
    /// Anything else.
    #[error("{gpu} did not {what}: {fault}")]
    Failed {
        /// Which.
        gpu: String,
        /// What was to be done.
        what: &'static str,
        /// As the library tells it.
        fault: String,
    },
}

impl Control {
    /// GPUs by UUID; `library` is the management library where the loader does not find it.
    pub fn open(library: Option<&Path>, uuids: &[String]) -> Result<Vec<Self>, ControlError> {
        let library = Library::open(library).map_err(|it| ControlError::Library(it.to_string()))?;
        let library = Arc::new(library);
        let one = |uuid: &String| {
            let handle = library.by_uuid(uuid).map_err(|_| ControlError::Missing(uuid.clone()))?;
            Ok(Self { library: Arc::clone(&library), handle, uuid: uuid.clone() })
        };
        uuids.iter().map(one).collect()
    }

    /// Its UUID.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The power limit that was set, in milliwatts.
    pub fn power_limit(&self) -> Result<u32, ControlError> {
        self.ask("tell its power limit", self.library.power_limit(self.handle))
    }

    /// The power limit that is in force, in milliwatts: the least of all that the machine knows.
    pub fn enforced_power_limit(&self) -> Result<u32, ControlError> {
        self.ask("tell its power limit", self.library.enforced_limit(self.handle))
    }

    /// The least and the greatest power limit that can be set, in milliwatts.
    pub fn power_limits(&self) -> Result<(u32, u32), ControlError> {
        self.ask("tell which power limits it has", self.library.power_limits(self.handle))
    }

    /// The SM clocks that it can be kept at, in MHz, ascending.
    pub fn sm_clocks(&self) -> Result<Vec<u32>, ControlError> {
        self.ask("tell which clocks it has", self.library.graphics_clocks(self.handle))
    }

    /// Sets the power limit, in milliwatts.
    pub fn set_power_limit(&self, milliwatts: u32) -> Result<(), ControlError> {
        let set = self.library.set_power_limit(self.handle, milliwatts);
        self.ask("take a power limit", set)
    }

    /// Keeps its SM clock at this one, in MHz.
    pub fn lock_sm_clock(&self, megahertz: u32) -> Result<(), ControlError> {
        self.ask("keep its SM clock", self.library.lock_clock(self.handle, megahertz))
    }

    /// Lets its SM clock go.
    pub fn unlock_sm_clock(&self) -> Result<(), ControlError> {
        self.ask("let its SM clock go", self.library.unlock_clock(self.handle))
    }

    fn ask<T>(&self, what: &'static str, answer: Result<T, Fault>) -> Result<T, ControlError> {
        let gpu = self.uuid.clone();
        answer.map_err(|fault| match fault {
            Fault::Denied => ControlError::Denied { gpu },
            Fault::Unsupported => ControlError::Unsupported { gpu, what },
            Fault::Lost => ControlError::Failed { gpu, what, fault: "it is lost".to_owned() },
            Fault::Code(code) => ControlError::Failed { gpu, what, fault: format!("code {code}") },
        })
    }
}
