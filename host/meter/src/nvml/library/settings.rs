//! The calls that change a GPU, and those that say what it may be changed to.
//!
//! Nothing else of this package calls those that change anything but [`crate::Control`].

#![expect(unsafe_code, reason = "the library is a C library that is loaded at run time")]

use super::{Fault, Handle, Library, check};

/// The most clocks that a GPU is asked for; an H100 has 118.
const MOST_CLOCKS: usize = 1_024;

impl Library {
    /// The power limit that was set, in milliwatts.
    pub(crate) fn power_limit(&self, device: Handle) -> Result<u32, Fault> {
        let mut limit = 0;
        call!(self, nvmlDeviceGetPowerManagementLimit(device.0, &raw mut limit)).map(|()| limit)
    }

    /// The least and the greatest power limit that can be set, in milliwatts.
    pub(crate) fn power_limits(&self, device: Handle) -> Result<(u32, u32), Fault> {
        let (mut least, mut most) = (0, 0);
        call!(
            self,
            nvmlDeviceGetPowerManagementLimitConstraints(device.0, &raw mut least, &raw mut most)
        )
        .map(|()| (least, most))
    }

    /// The graphics clocks that go with the fastest memory clock, in MHz, ascending.
    pub(crate) fn graphics_clocks(&self, device: Handle) -> Result<Vec<u32>, Fault> {
        let memory = list(|count, clocks| {
            call!(self, nvmlDeviceGetSupportedMemoryClocks(device.0, count, clocks))
        })?;
        let fastest = memory.last().copied().ok_or(Fault::Unsupported)?;
        list(|count, clocks| {
            call!(self, nvmlDeviceGetSupportedGraphicsClocks(device.0, fastest, count, clocks))
        })
    }

    /// Sets the power limit, in milliwatts.
    pub(crate) fn set_power_limit(&self, device: Handle, milliwatts: u32) -> Result<(), Fault> {
        call!(self, nvmlDeviceSetPowerManagementLimit(device.0, milliwatts))
    }

    /// Keeps the graphics clock, and the SM clock with it, at this one, in MHz.
    pub(crate) fn lock_clock(&self, device: Handle, megahertz: u32) -> Result<(), Fault> {
        call!(self, nvmlDeviceSetGpuLockedClocks(device.0, megahertz, megahertz))
    }

    /// Lets the clock go.
    pub(crate) fn unlock_clock(&self, device: Handle) -> Result<(), Fault> {
        call!(self, nvmlDeviceResetGpuLockedClocks(device.0))
    }
}

/// A list of clocks, ascending.
fn list(fill: impl FnOnce(*mut u32, *mut u32) -> Result<(), Fault>) -> Result<Vec<u32>, Fault> {
    let mut clocks = vec![0; MOST_CLOCKS];
    let mut count = u32::try_from(MOST_CLOCKS).map_err(|_| Fault::Unsupported)?;
    fill(&raw mut count, clocks.as_mut_ptr())?;
    clocks.truncate(usize::try_from(count).map_err(|_| Fault::Unsupported)?);
    clocks.sort_unstable();
    Ok(clocks)
}
