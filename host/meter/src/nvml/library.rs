//! Calls into the library, each with its return code checked.
//!
//! Nothing is interpreted here beyond "no such value", "not allowed" and "gone".

#![expect(unsafe_code, reason = "the library is a C library that is loaded at run time")]

use std::{
    ffi::{CStr, CString, c_char, c_uint},
    mem::MaybeUninit,
    path::Path,
};

use nvml_wrapper_sys::bindings as sys;
use thiserror::Error;

use crate::sensor::Fault;

const SUCCESS: u32 = 0;
const NOT_SUPPORTED: u32 = 3;
const NO_PERMISSION: u32 = 4;
const NOT_FOUND: u32 = 6;
const INSUFFICIENT_SIZE: u32 = 7;
const DRIVER_NOT_LOADED: u32 = 9;
const FUNCTION_NOT_FOUND: u32 = 13;
const GPU_IS_LOST: u32 = 15;
const RESET_REQUIRED: u32 = 16;
const UNINITIALIZED: u32 = 1;

/// Why there is no library.
#[derive(Debug, Error)]
pub(crate) enum LibraryError {
    #[error("the NVIDIA management library could not be loaded: {0}")]
    Load(String),
    #[error("the NVIDIA driver is not loaded")]
    NoDriver,
    #[error("this user may not talk to the NVIDIA driver")]
    Denied,
    #[error("the NVIDIA management library did not start: code {0}")]
    Init(u32),
}

/// The loaded and initialised library.
pub(crate) struct Library {
    raw: sys::NvmlLib,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

/// One device of the library; valid as long as the library is initialised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle(sys::nvmlDevice_t);

// SAFETY: the library states that it is thread-safe; a handle is an opaque name of a device.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

macro_rules! call {
    ($library:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match &$library.raw.$function {
            // SAFETY: the arguments are valid for this function: handles come from this library, and
            // pointers lead to live memory of the size that is stated.
            Ok(function) => check(unsafe { function($($argument),*) }),
            Err(_) => Err(Fault::Unsupported),
        }
    };
}

mod settings;

fn check(code: u32) -> Result<(), Fault> {
    match code {
        SUCCESS => Ok(()),
        NOT_SUPPORTED | NOT_FOUND | FUNCTION_NOT_FOUND => Err(Fault::Unsupported),
        NO_PERMISSION => Err(Fault::Denied),
        GPU_IS_LOST | RESET_REQUIRED | UNINITIALIZED | DRIVER_NOT_LOADED => Err(Fault::Lost),
        other => Err(Fault::Code(other)),
    }
}

impl Library {
    /// Loads and initialises the library.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, LibraryError> {
        let path = path.unwrap_or_else(|| Path::new("libnvidia-ml.so.1"));
        // SAFETY: loading runs the library's initialisers, which is what the user asked for.
        let raw = unsafe { sys::NvmlLib::new(path) };
        let library = Self { raw: raw.map_err(|error| LibraryError::Load(error.to_string()))? };
        match &library.raw.nvmlInit_v2 {
            // SAFETY: initialisation takes no argument.
            Ok(init) => match unsafe { init() } {
                SUCCESS => Ok(library),
                DRIVER_NOT_LOADED => Err(LibraryError::NoDriver),
                NO_PERMISSION => Err(LibraryError::Denied),
                code => Err(LibraryError::Init(code)),
            },
            Err(error) => Err(LibraryError::Load(error.to_string())),
        }
    }

    pub(crate) fn driver_version(&self) -> Option<String> {
        text(|buffer, size| call!(self, nvmlSystemGetDriverVersion(buffer, size)))
    }

    pub(crate) fn count(&self) -> Result<u32, Fault> {
        let mut count = 0;
        call!(self, nvmlDeviceGetCount_v2(&raw mut count)).map(|()| count)
    }

    pub(crate) fn by_index(&self, index: u32) -> Result<Handle, Fault> {
        let mut device = std::ptr::null_mut();
        call!(self, nvmlDeviceGetHandleByIndex_v2(index, &raw mut device)).map(|()| Handle(device))
    }

    pub(crate) fn by_uuid(&self, uuid: &str) -> Result<Handle, Fault> {
        let uuid = CString::new(uuid).map_err(|_| Fault::Unsupported)?;
        let mut device = std::ptr::null_mut();
        call!(self, nvmlDeviceGetHandleByUUID(uuid.as_ptr(), &raw mut device))
            .map(|()| Handle(device))
    }

    pub(crate) fn uuid(&self, device: Handle) -> Option<String> {
        text(|buffer, size| call!(self, nvmlDeviceGetUUID(device.0, buffer, size)))
    }

    pub(crate) fn name(&self, device: Handle) -> Option<String> {
        text(|buffer, size| call!(self, nvmlDeviceGetName(device.0, buffer, size)))
    }

    pub(crate) fn vbios(&self, device: Handle) -> Option<String> {
        text(|buffer, size| call!(self, nvmlDeviceGetVbiosVersion(device.0, buffer, size)))
    }

    pub(crate) fn bus_id(&self, device: Handle) -> Option<String> {
        let mut info = MaybeUninit::<sys::nvmlPciInfo_t>::zeroed();
        call!(self, nvmlDeviceGetPciInfo_v3(device.0, info.as_mut_ptr())).ok()?;
        // SAFETY: all-zero bytes are a valid value, which the call has since filled.
        let info = unsafe { info.assume_init() };
        // SAFETY: the buffer was zeroed and the library ends its text within it.
        let text = unsafe { CStr::from_ptr(info.busId.as_ptr()) };
        Some(text.to_string_lossy().into_owned())
    }

    pub(crate) fn architecture(&self, device: Handle) -> Option<u32> {
        let mut value = 0;
        call!(self, nvmlDeviceGetArchitecture(device.0, &raw mut value)).ok().map(|()| value)
    }

    pub(crate) fn mig_enabled(&self, device: Handle) -> Option<bool> {
        let (mut current, mut pending) = (0, 0);
        call!(self, nvmlDeviceGetMigMode(device.0, &raw mut current, &raw mut pending)).ok()?;
        Some(current == 1)
    }

    pub(crate) fn mig_slice(&self, device: Handle, index: u32) -> Result<Handle, Fault> {
        let mut slice = std::ptr::null_mut();
        call!(self, nvmlDeviceGetMigDeviceHandleByIndex(device.0, index, &raw mut slice))
            .map(|()| Handle(slice))
    }

    pub(crate) fn persistence(&self, device: Handle) -> Option<bool> {
        let mut mode = 0;
        call!(self, nvmlDeviceGetPersistenceMode(device.0, &raw mut mode)).ok().map(|()| mode == 1)
    }

    pub(crate) fn ecc(&self, device: Handle) -> Option<bool> {
        let (mut current, mut pending) = (0, 0);
        call!(self, nvmlDeviceGetEccMode(device.0, &raw mut current, &raw mut pending)).ok()?;
        Some(current == 1)
    }

    pub(crate) fn application_clock(&self, device: Handle, kind: u32) -> Option<u32> {
        let mut clock = 0;
        call!(self, nvmlDeviceGetApplicationsClock(device.0, kind, &raw mut clock)).ok()?;
        Some(clock)
    }

    pub(crate) fn enforced_limit(&self, device: Handle) -> Result<u32, Fault> {
        let mut limit = 0;
        call!(self, nvmlDeviceGetEnforcedPowerLimit(device.0, &raw mut limit)).map(|()| limit)
    }

    pub(crate) fn default_limit(&self, device: Handle) -> Result<u32, Fault> {
        let mut limit = 0;
        call!(self, nvmlDeviceGetPowerManagementDefaultLimit(device.0, &raw mut limit))
            .map(|()| limit)
    }

    pub(crate) fn energy(&self, device: Handle) -> Result<u64, Fault> {
        let mut energy = 0;
        call!(self, nvmlDeviceGetTotalEnergyConsumption(device.0, &raw mut energy)).map(|()| energy)
    }

    pub(crate) fn temperature(&self, device: Handle) -> Result<u32, Fault> {
        let mut celsius = 0;
        call!(self, nvmlDeviceGetTemperature(device.0, 0, &raw mut celsius)).map(|()| celsius)
    }

    pub(crate) fn clock(&self, device: Handle, kind: u32) -> Result<u32, Fault> {
        let mut clock = 0;
        call!(self, nvmlDeviceGetClockInfo(device.0, kind, &raw mut clock)).map(|()| clock)
    }

    pub(crate) fn throttle_bits(&self, device: Handle) -> Result<u64, Fault> {
        let mut bits = 0;
        call!(self, nvmlDeviceGetCurrentClocksThrottleReasons(device.0, &raw mut bits))
            .map(|()| bits)
    }

    pub(crate) fn utilization(&self, device: Handle) -> Result<u32, Fault> {
        let mut rates = sys::nvmlUtilization_t { gpu: 0, memory: 0 };
        call!(self, nvmlDeviceGetUtilizationRates(device.0, &raw mut rates)).map(|()| rates.gpu)
    }

    pub(crate) fn performance_state(&self, device: Handle) -> Result<u32, Fault> {
        let mut state = 0;
        call!(self, nvmlDeviceGetPerformanceState(device.0, &raw mut state)).map(|()| state)
    }

    pub(crate) fn memory_used(&self, device: Handle) -> Result<u64, Fault> {
        self.memory(device).map(|memory| memory.used)
    }

    pub(crate) fn memory_total(&self, device: Handle) -> Option<u64> {
        self.memory(device).ok().map(|memory| memory.total)
    }

    fn memory(&self, device: Handle) -> Result<sys::nvmlMemory_t, Fault> {
        let mut memory = sys::nvmlMemory_t { total: 0, free: 0, used: 0 };
        call!(self, nvmlDeviceGetMemoryInfo(device.0, &raw mut memory)).map(|()| memory)
    }

    /// CUDA compute capability: major and minor version.
    pub(crate) fn compute_capability(&self, device: Handle) -> Option<(i32, i32)> {
        let (mut major, mut minor) = (0, 0);
        call!(self, nvmlDeviceGetCudaComputeCapability(device.0, &raw mut major, &raw mut minor))
            .ok()
            .map(|()| (major, minor))
    }

    pub(crate) fn violation_ns(&self, device: Handle, policy: u32) -> Result<u64, Fault> {
        let mut time = sys::nvmlViolationTime_t { referenceTime: 0, violationTime: 0 };
        call!(self, nvmlDeviceGetViolationStatus(device.0, policy, &raw mut time))
            .map(|()| time.violationTime)
    }

    /// Values of several fields; each may be missing by itself.
    pub(crate) fn fields<const N: usize>(
        &self,
        device: Handle,
        ids: [u32; N],
    ) -> Result<[Result<u64, Fault>; N], Fault> {
        let mut values = ids.map(|id| {
            // SAFETY: all-zero bytes are a valid value of this plain structure.
            let mut value: sys::nvmlFieldValue_t = unsafe { MaybeUninit::zeroed().assume_init() };
            value.fieldId = id;
            value
        });
        let count = i32::try_from(N).map_err(|_| Fault::Unsupported)?;
        call!(self, nvmlDeviceGetFieldValues(device.0, count, values.as_mut_ptr()))?;
        Ok(values.map(|value| check(value.nvmlReturn).and_then(|()| scalar(value))))
    }

    /// Processes that compute on the device, into `buffer`; the count may exceed its length.
    pub(crate) fn processes(
        &self,
        device: Handle,
        buffer: &mut ProcessBuffer,
    ) -> Result<usize, Fault> {
        let mut count = c_uint::try_from(buffer.0.len()).map_err(|_| Fault::Unsupported)?;
        let outcome = call!(
            self,
            nvmlDeviceGetComputeRunningProcesses_v3(
                device.0,
                &raw mut count,
                buffer.0.as_mut_ptr()
            )
        );
        match outcome {
            Ok(()) | Err(Fault::Code(INSUFFICIENT_SIZE)) => {
                usize::try_from(count).map_err(|_| Fault::Unsupported)
            }
            Err(fault) => Err(fault),
        }
    }

    /// The driver's power samples after a stamp, into `buffer`; gives how many.
    pub(crate) fn power_samples(
        &self,
        device: Handle,
        since_us: u64,
        buffer: &mut SampleBuffer,
    ) -> Result<usize, Fault> {
        let mut kind = 0;
        let mut count = c_uint::try_from(buffer.0.len()).map_err(|_| Fault::Unsupported)?;
        call!(
            self,
            nvmlDeviceGetSamples(
                device.0,
                sys::nvmlSamplingType_enum_NVML_TOTAL_POWER_SAMPLES,
                since_us,
                &raw mut kind,
                &raw mut count,
                buffer.0.as_mut_ptr(),
            )
        )?;
        usize::try_from(count).map_err(|_| Fault::Unsupported)
    }

    /// How many power samples the driver keeps.
    pub(crate) fn power_samples_kept(&self, device: Handle) -> Result<usize, Fault> {
        let (mut kind, mut count) = (0, 0);
        call!(
            self,
            nvmlDeviceGetSamples(
                device.0,
                sys::nvmlSamplingType_enum_NVML_TOTAL_POWER_SAMPLES,
                0,
                &raw mut kind,
                &raw mut count,
                std::ptr::null_mut(),
            )
        )?;
        usize::try_from(count).map_err(|_| Fault::Unsupported)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if let Ok(shutdown) = &self.raw.nvmlShutdown {
            // SAFETY: every initialisation is matched by one shutdown.
            unsafe { shutdown() };
        }
    }
}

/// Room for samples, allocated once.
pub(crate) struct SampleBuffer(Box<[sys::nvmlSample_t]>);

impl SampleBuffer {
    pub(crate) fn with_capacity(count: usize) -> Self {
        let empty = sys::nvmlSample_t { timeStamp: 0, sampleValue: sys::nvmlValue_t { ullVal: 0 } };
        Self(vec![empty; count].into_boxed_slice())
    }

    /// Stamp in microseconds and power in milliwatts.
    pub(crate) fn get(&self, index: usize) -> Option<(u64, u64)> {
        let sample = self.0.get(index)?;
        // SAFETY: power samples are unsigned ints, and every bit pattern is one.
        Some((sample.timeStamp, u64::from(unsafe { sample.sampleValue.uiVal })))
    }
}

/// Room for processes, allocated once.
pub(crate) struct ProcessBuffer(Box<[sys::nvmlProcessInfo_t]>);

impl ProcessBuffer {
    pub(crate) fn with_capacity(count: usize) -> Self {
        let empty = sys::nvmlProcessInfo_t {
            pid: 0,
            usedGpuMemory: 0,
            gpuInstanceId: 0,
            computeInstanceId: 0,
        };
        Self(vec![empty; count].into_boxed_slice())
    }

    pub(crate) fn pids(&self, count: usize) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().take(count).map(|process| process.pid)
    }
}

/// A field's value as a whole number.
fn scalar(value: sys::nvmlFieldValue_t) -> Result<u64, Fault> {
    // SAFETY: the type says which member the library wrote, and every bit pattern is valid for each.
    let signed = unsafe {
        match value.valueType {
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT => i128::from(value.value.uiVal),
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG
            | sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG => {
                i128::from(value.value.ullVal)
            }
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG => {
                i128::from(value.value.sllVal)
            }
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT => i128::from(value.value.siVal),
            sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT => i128::from(value.value.usVal),
            _ => return Err(Fault::Unsupported),
        }
    };
    u64::try_from(signed).map_err(|_| Fault::Unsupported)
}

fn text(fill: impl FnOnce(*mut c_char, c_uint) -> Result<(), Fault>) -> Option<String> {
    let mut buffer = [0_u8; 128];
    fill(buffer.as_mut_ptr().cast(), 128).ok()?;
    let text = CStr::from_bytes_until_nul(&buffer).ok()?;
    Some(text.to_string_lossy().into_owned())
}
