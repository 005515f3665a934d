//! Which GPUs and slices of GPUs the driver shows.
//!
//! It lists; choosing among them is done beside it.

use super::library::{Handle, Library};
use crate::sensor::Fault;

/// Slices that a GPU can have.
const MOST_SLICES: u32 = 8;

/// All GPUs of a host, in the driver's order.
pub(crate) type Inventory = Vec<Node>;

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) index: u32,
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) mig: bool,
    /// UUIDs of its slices.
    pub(crate) slices: Vec<String>,
}

impl Library {
    /// Lists the GPUs; those that do not answer are given as faults with their index.
    pub(crate) fn inventory(&self) -> Result<(Inventory, Vec<(u32, Fault)>), Fault> {
        let (mut nodes, mut silent) = (Vec::new(), Vec::new());
        for index in 0..self.count()? {
            match self.by_index(index) {
                Ok(handle) => nodes.push(self.node(index, handle)),
                Err(fault) => silent.push((index, fault)),
            }
        }
        Ok((nodes, silent))
    }

    fn node(&self, index: u32, handle: Handle) -> Node {
        let mig = self.mig_enabled(handle).unwrap_or(false);
        let slices = if mig {
            let handles = (0..MOST_SLICES).map_while(|slice| self.mig_slice(handle, slice).ok());
            handles.filter_map(|slice| self.uuid(slice)).collect()
        } else {
            Vec::new()
        };
        Node {
            index,
            uuid: self.uuid(handle).unwrap_or_else(|| format!("GPU-at-index-{index}")),
            name: self.name(handle).unwrap_or_default(),
            mig,
            slices,
        }
    }
}
