//! The C functions of the library.
//!
//! Each writes what the GPU's description says, or returns the code that its faults ask for.

#![expect(unsafe_code, reason = "this is a C library")]

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_ulonglong},
    thread,
    time::Duration,
};

use nvml_wrapper_sys::bindings as sys;

use crate::{
    GpuConfig, Settings, Time,
    gpu::{SAMPLES_KEPT, small, whole},
    state::{self, State},
};

type Device = sys::nvmlDevice_t;

const SUCCESS: u32 = 0;
const INVALID_ARGUMENT: u32 = 2;
const NOT_SUPPORTED: u32 = 3;
const NO_PERMISSION: u32 = 4;
const NOT_FOUND: u32 = 6;
const INSUFFICIENT_SIZE: u32 = 7;
const GPU_IS_LOST: u32 = 15;
/// Handles of slices begin here.
const SLICES: usize = 0x1000;

fn code(outcome: Result<(), u32>) -> u32 {
    outcome.err().unwrap_or(SUCCESS)
}

fn handle(number: usize) -> Device {
    std::ptr::without_provenance_mut(number)
}

/// Index of the GPU behind a handle; a slice answers for its GPU.
fn index_of(device: Device) -> Option<usize> {
    match device.addr() {
        0 => None,
        slice if slice >= SLICES => (slice / SLICES).checked_sub(1),
        number => number.checked_sub(1),
    }
}

/// Runs on a GPU that is still there, with the time in seconds.
fn on_gpu<T>(
    device: Device,
    run: impl FnOnce(&GpuConfig, f64) -> Result<T, u32>,
) -> Result<T, u32> {
    state::with(|state| {
        let at = state.seconds(state.now_ns());
        let index = index_of(device).ok_or(INVALID_ARGUMENT)?;
        let gpu = state.gpu(index).ok_or(INVALID_ARGUMENT)?;
        if gpu.faults.lost_at.is_some_and(|lost| at >= lost) {
            return Err(GPU_IS_LOST);
        }
        run(gpu, at)
    })
}

/// The same with what clients have set on it.
fn on_set_gpu<T>(
    device: Device,
    run: impl FnOnce(&GpuConfig, Settings, f64) -> Result<T, u32>,
) -> Result<T, u32> {
    let uuid = on_gpu(device, |gpu, _| Ok(gpu.uuid.clone()))?;
    let settings = state::with(|state| state.settings(&uuid));
    on_gpu(device, |gpu, at| run(gpu, settings, at))
}

/// Sets something, unless the GPU's faults are against it.
fn set(
    device: Device,
    allowed: impl FnOnce(&GpuConfig) -> Result<(), u32>,
    change: impl FnOnce(&GpuConfig, &mut Settings),
) -> u32 {
    let wanted = on_gpu(device, |gpu, _| {
        if gpu.faults.settings_denied {
            return Err(NO_PERMISSION);
        }
        allowed(gpu).map(|()| gpu.clone())
    });
    code(wanted.map(|gpu| {
        state::with(|state| {
            state.set(&gpu.uuid, |settings| {
                settings.calls += 1;
                if !gpu.faults.settings_ignored {
                    change(&gpu, settings);
                }
            });
        });
    }))
}

/// Power limit in milliwatts: what was set, else what the configuration says.
fn limit(gpu: &GpuConfig, settings: Settings) -> c_uint {
    settings.limit_milliwatts.unwrap_or_else(|| small(gpu.limit_watts * 1e3))
}

/// The SM clocks that an H100 has, from the highest in steps of 15 MHz.
fn sm_clocks() -> impl Iterator<Item = c_uint> {
    (0..118).map(|step| 1980 - 15 * step)
}

/// Writes a list, or how long it is where there is too little room.
fn put_list(
    count: *mut c_uint,
    out: *mut c_uint,
    list: impl ExactSizeIterator<Item = c_uint>,
) -> Result<(), u32> {
    if count.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the C interface requires an initialised count.
    let room = usize::try_from(unsafe { count.read() }).unwrap_or(0);
    put(count, c_uint::try_from(list.len()).unwrap_or(0))?;
    if list.len() > room {
        return Err(INSUFFICIENT_SIZE);
    }
    for (place, item) in list.enumerate() {
        // SAFETY: there is room for as many as the caller counted, and `place` is below that.
        unsafe { out.add(place).write(item) };
    }
    Ok(())
}

/// Writes through a caller's pointer.
fn put<T>(pointer: *mut T, value: T) -> Result<(), u32> {
    if pointer.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the C interface requires that the pointer leads to room for one value.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Writes a text with its NUL.
fn put_text(buffer: *mut c_char, length: c_uint, text: &str) -> Result<(), u32> {
    let room = usize::try_from(length).map_err(|_| INVALID_ARGUMENT)?;
    if text.len() + 1 > room {
        return Err(INSUFFICIENT_SIZE);
    }
    for (place, byte) in text.bytes().chain([0]).enumerate() {
        // SAFETY: the C interface requires room for `length` characters, and `place` is below it.
        unsafe { buffer.add(place).write(c_char::from_ne_bytes([byte])) };
    }
    Ok(())
}

fn value<T>(
    device: Device,
    out: *mut T,
    run: impl FnOnce(&GpuConfig, f64) -> Result<T, u32>,
) -> u32 {
    code(on_gpu(device, run).and_then(|value| put(out, value)))
}

fn text(
    device: Device,
    out: *mut c_char,
    length: c_uint,
    of: impl FnOnce(&GpuConfig) -> String,
) -> u32 {
    code(on_gpu(device, |gpu, _| Ok(of(gpu))).and_then(|text| put_text(out, length, &text)))
}

/// Exports functions that return the library's codes.
macro_rules! export {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> u32 $body
    )*};
}

export! {
    fn nvmlInit_v2() { state::with(|state| state.config.init_code) }
    fn nvmlInit() { state::with(|state| state.config.init_code) }
    fn nvmlInitWithFlags(_flags: c_uint) { state::with(|state| state.config.init_code) }
    fn nvmlShutdown() { SUCCESS }

    fn nvmlSystemGetDriverVersion(out: *mut c_char, length: c_uint) {
        code(put_text(out, length, &state::with(|state| state.config.driver.clone())))
    }
    fn nvmlSystemGetNVMLVersion(out: *mut c_char, length: c_uint) {
        code(put_text(out, length, "13.580.159.04"))
    }
    fn nvmlSystemGetCudaDriverVersion_v2(out: *mut c_int) { code(put(out, 13_000)) }
    fn nvmlSystemGetCudaDriverVersion(out: *mut c_int) { code(put(out, 13_000)) }

    fn nvmlDeviceGetCount_v2(out: *mut c_uint) { code(count().and_then(|count| put(out, count))) }
    fn nvmlDeviceGetCount(out: *mut c_uint) { code(count().and_then(|count| put(out, count))) }
    fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut Device) {
        code(by_index(index).and_then(|device| put(out, device)))
    }
    fn nvmlDeviceGetHandleByIndex(index: c_uint, out: *mut Device) {
        code(by_index(index).and_then(|device| put(out, device)))
    }
    fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, out: *mut Device) {
        // SAFETY: the C interface requires a text that ends in NUL.
        let uuid = unsafe { CStr::from_ptr(uuid) }.to_string_lossy();
        code(by_uuid(&uuid).and_then(|device| put(out, device)))
    }
    fn nvmlDeviceGetIndex(device: Device, out: *mut c_uint) {
        let index = index_of(device).and_then(|index| c_uint::try_from(index).ok());
        value(device, out, |_, _| index.ok_or(INVALID_ARGUMENT))
    }
    fn nvmlDeviceGetMinorNumber(device: Device, out: *mut c_uint) {
        let index = index_of(device).and_then(|index| c_uint::try_from(index).ok());
        value(device, out, |_, _| index.ok_or(INVALID_ARGUMENT))
    }
    fn nvmlDeviceGetUUID(device: Device, out: *mut c_char, length: c_uint) {
        let slice = device.addr() % SLICES;
        let is_slice = device.addr() >= SLICES;
        text(device, out, length, |gpu| {
            if is_slice { gpu.slices.get(slice).cloned().unwrap_or_default() } else { gpu.uuid.clone() }
        })
    }
    fn nvmlDeviceGetName(device: Device, out: *mut c_char, length: c_uint) {
        text(device, out, length, |gpu| gpu.name.clone())
    }
    fn nvmlDeviceGetVbiosVersion(device: Device, out: *mut c_char, length: c_uint) {
        text(device, out, length, |_| "96.00.89.00.01".to_owned())
    }
    fn nvmlDeviceGetSerial(device: Device, out: *mut c_char, length: c_uint) {
        text(device, out, length, |_| "1650000000000".to_owned())
    }
    fn nvmlDeviceGetPciInfo_v3(device: Device, out: *mut sys::nvmlPciInfo_t) {
        let bus = index_of(device).and_then(|index| c_uint::try_from(index + 1).ok()).unwrap_or(0);
        value(device, out, |_, _| Ok(pci_info(bus)))
    }
    fn nvmlDeviceGetArchitecture(device: Device, out: *mut c_uint) { value(device, out, |_, _| Ok(9)) }
    fn nvmlDeviceGetBrand(device: Device, out: *mut c_uint) { value(device, out, |_, _| Ok(2)) }
    fn nvmlDeviceGetCudaComputeCapability(device: Device, major: *mut c_int, minor: *mut c_int) {
        code(on_gpu(device, |_, _| Ok(())).and_then(|()| put(major, 9)).and_then(|()| put(minor, 0)))
    }
    fn nvmlDeviceGetMigMode(device: Device, current: *mut c_uint, pending: *mut c_uint) {
        let mode = on_gpu(device, |gpu, _| Ok(c_uint::from(!gpu.slices.is_empty())));
        code(mode.and_then(|mode| put(current, mode).and_then(|()| put(pending, mode))))
    }
    fn nvmlDeviceGetMaxMigDeviceCount(device: Device, out: *mut c_uint) {
        value(device, out, |gpu, _| c_uint::try_from(gpu.slices.len()).map_err(|_| INVALID_ARGUMENT))
    }
    fn nvmlDeviceGetMigDeviceHandleByIndex(device: Device, slice: c_uint, out: *mut Device) {
        let slice = usize::try_from(slice).unwrap_or(SLICES);
        value(device, out, |gpu, _| {
            let there = slice < gpu.slices.len();
            if there { Ok(handle(device.addr() * SLICES + slice)) } else { Err(NOT_FOUND) }
        })
    }
    fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device: Device, out: *mut Device) {
        value(device, out, |_, _| Ok(handle(device.addr() / SLICES)))
    }
    fn nvmlDeviceIsMigDeviceHandle(device: Device, out: *mut c_uint) {
        value(device, out, |_, _| Ok(c_uint::from(device.addr() >= SLICES)))
    }
    fn nvmlDeviceGetPersistenceMode(device: Device, out: *mut c_uint) {
        value(device, out, |gpu, _| Ok(c_uint::from(gpu.persistence)))
    }
    fn nvmlDeviceGetEccMode(device: Device, current: *mut c_uint, pending: *mut c_uint) {
        code(on_gpu(device, |_, _| Ok(())).and_then(|()| put(current, 1)).and_then(|()| put(pending, 1)))
    }
    fn nvmlDeviceGetApplicationsClock(device: Device, kind: c_uint, out: *mut c_uint) {
        value(device, out, |_, _| Ok(clock(kind)))
    }
    fn nvmlDeviceGetClockInfo(device: Device, kind: c_uint, out: *mut c_uint) {
        code(on_set_gpu(device, |gpu, settings, _| Ok(clock_now(gpu, settings, kind)))
            .and_then(|clock| put(out, clock)))
    }
    fn nvmlDeviceGetEnforcedPowerLimit(device: Device, out: *mut c_uint) {
        let limit = on_set_gpu(device, |gpu, settings, at| {
            let lower = gpu.faults.lower_limit_at.filter(|(from, _)| at >= *from);
            Ok(limit(gpu, settings).min(lower.map_or(c_uint::MAX, |(_, watts)| small(watts * 1e3))))
        });
        code(limit.and_then(|limit| put(out, limit)))
    }
    fn nvmlDeviceGetPowerManagementLimit(device: Device, out: *mut c_uint) {
        let limit = on_set_gpu(device, |gpu, settings, _| Ok(limit(gpu, settings)));
        code(limit.and_then(|limit| put(out, limit)))
    }
    fn nvmlDeviceSetPowerManagementLimit(device: Device, milliwatts: c_uint) {
        set(
            device,
            |gpu| {
                let range = small(gpu.lowest_limit_watts * 1e3)..=small(gpu.default_limit_watts * 1e3);
                match (gpu.faults.no_power_limit, range.contains(&milliwatts)) {
                    (true, _) => Err(NOT_SUPPORTED),
                    (false, true) => Ok(()),
                    (false, false) => Err(INVALID_ARGUMENT),
                }
            },
            |gpu, settings| {
                let step = small(gpu.faults.limit_step_watts.unwrap_or(0.0) * 1e3).max(1);
                settings.limit_milliwatts = Some(milliwatts.div_ceil(step) * step);
            },
        )
    }
    fn nvmlDeviceSetGpuLockedClocks(device: Device, low: c_uint, high: c_uint) {
        let can = |gpu: &GpuConfig| match (gpu.faults.no_locked_clocks, low <= high) {
            (true, _) => Err(NOT_SUPPORTED),
            (false, true) => Ok(()),
            (false, false) => Err(INVALID_ARGUMENT),
        };
        set(device, can, |_, settings| settings.locked_megahertz = Some((low, high)))
    }
    fn nvmlDeviceResetGpuLockedClocks(device: Device) {
        let can = |gpu: &GpuConfig| if gpu.faults.no_locked_clocks { Err(NOT_SUPPORTED) } else { Ok(()) };
        set(device, can, |_, settings| settings.locked_megahertz = None)
    }
    fn nvmlDeviceGetSupportedMemoryClocks(device: Device, count: *mut c_uint, out: *mut c_uint) {
        code(on_gpu(device, |_, _| Ok(())).and_then(|()| put_list(count, out, [2619, 1593].into_iter())))
    }
    fn nvmlDeviceGetSupportedGraphicsClocks(
        device: Device,
        memory: c_uint,
        count: *mut c_uint,
        out: *mut c_uint,
    ) {
        let known = |_: &GpuConfig, _| if memory == 2619 { Ok(()) } else { Err(NOT_FOUND) };
        code(on_gpu(device, known).and_then(|()| put_list(count, out, sm_clocks().collect::<Vec<_>>().into_iter())))
    }
    fn nvmlDeviceGetPowerManagementDefaultLimit(device: Device, out: *mut c_uint) {
        value(device, out, |gpu, _| Ok(small(gpu.default_limit_watts * 1e3)))
    }
    fn nvmlDeviceGetPowerManagementLimitConstraints(device: Device, low: *mut c_uint, high: *mut c_uint) {
        let range = on_gpu(device, |gpu, _| {
            if gpu.faults.no_power_limit {
                return Err(NOT_SUPPORTED);
            }
            Ok((small(gpu.lowest_limit_watts * 1e3), small(gpu.default_limit_watts * 1e3)))
        });
        code(range.and_then(|(least, most)| put(low, least).and_then(|()| put(high, most))))
    }

    fn nvmlDeviceGetTotalEnergyConsumption(device: Device, out: *mut c_ulonglong) {
        code(read_counter(device).and_then(|energy| put(out, energy)))
    }
    fn nvmlDeviceGetPowerUsage(device: Device, out: *mut c_uint) { value(device, out, average) }
    fn nvmlDeviceGetTemperature(device: Device, _sensor: c_uint, out: *mut c_uint) {
        value(device, out, |gpu, at| Ok(small(gpu.temperature.value(at))))
    }
    fn nvmlDeviceGetCurrentClocksThrottleReasons(device: Device, out: *mut c_ulonglong) {
        value(device, out, |gpu, at| Ok(reasons(gpu, at)))
    }
    fn nvmlDeviceGetCurrentClocksEventReasons(device: Device, out: *mut c_ulonglong) {
        value(device, out, |gpu, at| Ok(reasons(gpu, at)))
    }
    fn nvmlDeviceGetUtilizationRates(device: Device, out: *mut sys::nvmlUtilization_t) {
        value(device, out, |gpu, at| {
            Ok(sys::nvmlUtilization_t { gpu: small(gpu.utilization.value(at)), memory: 0 })
        })
    }
    fn nvmlDeviceGetPerformanceState(device: Device, out: *mut c_uint) { value(device, out, |_, _| Ok(0)) }
    fn nvmlDeviceGetMemoryInfo(device: Device, out: *mut sys::nvmlMemory_t) {
        value(device, out, |gpu, _| {
            let (total, used) = (85_520_809_984, gpu.memory_bytes);
            Ok(sys::nvmlMemory_t { total, free: total.saturating_sub(used), used })
        })
    }
    fn nvmlDeviceGetViolationStatus(device: Device, policy: c_uint, out: *mut sys::nvmlViolationTime_t) {
        value(device, out, |gpu, at| match (gpu.faults.no_violation_status, policy) {
            (false, 0) => Ok(violation(gpu.power_limited.energy(at))),
            (false, 1) => Ok(violation(gpu.thermally_limited.energy(at))),
            _ => Err(NOT_SUPPORTED),
        })
    }
    fn nvmlDeviceGetFieldValues(device: Device, count: c_int, values: *mut sys::nvmlFieldValue_t) {
        code(fields(device, count, values))
    }
    fn nvmlDeviceGetComputeRunningProcesses_v3(
        device: Device,
        count: *mut c_uint,
        out: *mut sys::nvmlProcessInfo_t,
    ) {
        code(processes(device, count, out))
    }
    fn nvmlDeviceGetGraphicsRunningProcesses_v3(
        device: Device,
        count: *mut c_uint,
        _out: *mut sys::nvmlProcessInfo_t,
    ) {
        code(on_gpu(device, |_, _| Ok(0)).and_then(|none| put(count, none)))
    }
    fn nvmlDeviceGetSamples(
        device: Device,
        kind: c_uint,
        since_us: c_ulonglong,
        value_type: *mut c_uint,
        count: *mut c_uint,
        out: *mut sys::nvmlSample_t,
    ) {
        code(samples(device, kind, since_us, (value_type, count, out)))
    }

    fn llem_fake_configure(json: *const c_char) {
        // SAFETY: the caller gives a text that ends in NUL.
        let text = unsafe { CStr::from_ptr(json) }.to_string_lossy();
        match serde_json::from_str(&text) {
            Ok(config) => {
                state::configure(config);
                SUCCESS
            }
            Err(_) => INVALID_ARGUMENT,
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(code: u32) -> *const c_char {
    let text = match code {
        SUCCESS => c"Success",
        NOT_SUPPORTED => c"Not Supported",
        NO_PERMISSION => c"Insufficient Permissions",
        NOT_FOUND => c"Not Found",
        GPU_IS_LOST => c"GPU is lost",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn llem_fake_now() -> u64 {
    state::with(|state| state.now_ns())
}

#[unsafe(no_mangle)]
extern "C" fn llem_fake_wall() -> u64 {
    state::with(|state| state.wall_ns())
}

#[unsafe(no_mangle)]
extern "C" fn llem_fake_origin() -> u64 {
    state::with(|state| state.origin_ns())
}

#[unsafe(no_mangle)]
extern "C" fn llem_fake_reads() -> u64 {
    state::with(|state| state.reads)
}

#[unsafe(no_mangle)]
extern "C" fn llem_fake_advance_to(at_ns: u64) {
    state::with(|state| state.advance_to(at_ns));
}

#[unsafe(no_mangle)]
extern "C" fn llem_fake_energy(gpu: u32, from_ns: u64, to_ns: u64) -> f64 {
    state::with(|state| {
        let gpu = usize::try_from(gpu).ok().and_then(|index| state.gpu(index));
        let (from, to) = (state.seconds(from_ns), state.seconds(to_ns));
        gpu.map_or(f64::NAN, |gpu| gpu.true_energy(to) - gpu.true_energy(from))
    })
}

fn count() -> Result<c_uint, u32> {
    state::with(|state| c_uint::try_from(state.config.gpus.len()).map_err(|_| INVALID_ARGUMENT))
}

fn by_index(index: c_uint) -> Result<Device, u32> {
    let index = usize::try_from(index).map_err(|_| INVALID_ARGUMENT)?;
    let device = handle(index + 1);
    on_gpu(device, |_, _| Ok(device))
}

fn by_uuid(uuid: &str) -> Result<Device, u32> {
    let place = state::with(|state| state.config.gpus.iter().position(|gpu| gpu.uuid == uuid));
    let device = handle(place.ok_or(NOT_FOUND)? + 1);
    on_gpu(device, |_, _| Ok(device))
}

/// Takes as long as a read does, and gives what the counter showed within that time.
fn read_counter(device: Device) -> Result<u64, u32> {
    let index = index_of(device).ok_or(INVALID_ARGUMENT)?;
    let (begin, taken, ends, real) = state::with(|state| {
        state.refresh();
        state.reads += 1;
        let gpu = state.gpu(index).ok_or(INVALID_ARGUMENT)?;
        let time = gpu.read_time(state.reads);
        let begin = state.now_ns();
        let after = |seconds: f64| begin + whole(seconds * 1e9);
        let real = state.config.time == Time::Real;
        Ok::<_, u32>((begin, after(time * gpu.read_point), after(time), real))
    })?;
    let pass = |until: u64| {
        if real {
            thread::sleep(Duration::from_nanos(until.saturating_sub(state::with(|s| s.now_ns()))));
        } else {
            state::with(|state| state.advance_to(until));
        }
    };
    if ends > begin {
        pass(taken);
    }
    let energy =
        on_gpu(device, |gpu, at| match (gpu.faults.no_counter, gpu.faults.counter_denied) {
            (true, _) => Err(NOT_SUPPORTED),
            (_, true) => Err(NO_PERMISSION),
            _ => Ok(gpu.counter_mj(at)),
        });
    if ends > begin {
        pass(ends);
    }
    energy
}

fn average(gpu: &GpuConfig, at: f64) -> Result<c_uint, u32> {
    if gpu.faults.no_average { Err(NOT_SUPPORTED) } else { Ok(gpu.average_mw(at)) }
}

fn clock(kind: c_uint) -> c_uint {
    if kind == 2 { 2619 } else { 1980 }
}

/// The clock in force: a locked one, or what is left of it under load.
fn clock_now(gpu: &GpuConfig, settings: Settings, kind: c_uint) -> c_uint {
    match (kind, settings.locked_megahertz) {
        (0 | 1, Some((low, high))) => {
            clock(kind).clamp(low, high).saturating_sub(gpu.faults.clock_shortfall_megahertz)
        }
        _ => clock(kind),
    }
}

fn reasons(gpu: &GpuConfig, at: f64) -> u64 {
    let power = u64::from(gpu.power_limited.value(at) > 0.0) * 0x4;
    let thermal = u64::from(gpu.thermally_limited.value(at) > 0.0) * 0x20;
    power | thermal
}

fn violation(seconds: f64) -> sys::nvmlViolationTime_t {
    sys::nvmlViolationTime_t { referenceTime: 0, violationTime: whole(seconds * 1e9) }
}

fn pci_info(bus: c_uint) -> sys::nvmlPciInfo_t {
    let mut bus_id = [0; 32];
    let text = format!("00000000:{bus:02X}:00.0");
    for (cell, byte) in bus_id.iter_mut().zip(text.bytes()) {
        *cell = c_char::from_ne_bytes([byte]);
    }
    let mut legacy = [0; 16];
    legacy.copy_from_slice(&bus_id[..16]);
    sys::nvmlPciInfo_t {
        busIdLegacy: legacy,
        domain: 0,
        bus,
        device: 0,
        pciDeviceId: 0x2330_10de,
        pciSubSystemId: 0,
        busId: bus_id,
    }
}

fn fields(device: Device, count: c_int, values: *mut sys::nvmlFieldValue_t) -> Result<(), u32> {
    let count = usize::try_from(count).map_err(|_| INVALID_ARGUMENT)?;
    // SAFETY: the C interface requires that the pointer leads to `count` initialised values.
    let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
    let new_numbers = state::with(|state| {
        let mut parts = state.config.driver.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (580, 82)
    });
    for field in values {
        let counter = if field.fieldId == 83 { Some(read_counter(device)) } else { None };
        let answer = on_gpu(device, |gpu, at| match (field.fieldId, new_numbers) {
            (82, _) => Ok(u64::from(small(gpu.temperature.value(at))) + 8),
            (83, _) => counter.unwrap_or(Err(NOT_SUPPORTED)),
            (185, _) if field.scopeId == 0 => average(gpu, at).map(u64::from),
            (186, _) if field.scopeId == 0 => Ok(u64::from(gpu.instant_mw(at))),
            (74, _) => Ok(whole(gpu.power_limited.energy(at) * 1e9)),
            (251, false) | (269, true) => Ok(whole(gpu.thermally_limited.energy(at) * 1e9)),
            (252, false) | (270, true) => Ok(0),
            _ => Err(NOT_SUPPORTED),
        });
        field.valueType = sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
        if matches!(field.fieldId, 82 | 185 | 186) {
            field.valueType = sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT;
        }
        field.nvmlReturn =
            code(answer.map(|value| field.value = sys::nvmlValue_t { ullVal: value }));
        field.timestamp = state::with(|s| i64::try_from(s.wall_ns() / 1000).unwrap_or(0));
    }
    on_gpu(device, |_, _| Ok(()))
}

fn processes(
    device: Device,
    count: *mut c_uint,
    out: *mut sys::nvmlProcessInfo_t,
) -> Result<(), u32> {
    let pids = on_gpu(device, |gpu, _| Ok(gpu.processes.clone()))?;
    if count.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the C interface requires an initialised count.
    let room = usize::try_from(unsafe { count.read() }).unwrap_or(0);
    put(count, c_uint::try_from(pids.len()).unwrap_or(0))?;
    if pids.len() > room {
        return Err(INSUFFICIENT_SIZE);
    }
    for (place, pid) in pids.into_iter().enumerate() {
        let process = sys::nvmlProcessInfo_t {
            pid,
            usedGpuMemory: 1 << 30,
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        };
        // SAFETY: there is room for as many as the caller counted, and `place` is below that.
        unsafe { out.add(place).write(process) };
    }
    Ok(())
}

type SampleOut = (*mut c_uint, *mut c_uint, *mut sys::nvmlSample_t);

fn samples(device: Device, kind: c_uint, since_us: u64, out: SampleOut) -> Result<(), u32> {
    let (value_type, count, buffer) = out;
    if kind != sys::nvmlSamplingType_enum_NVML_TOTAL_POWER_SAMPLES || count.is_null() {
        return Err(NOT_SUPPORTED);
    }
    // A little earlier than the caller asks for: stamps are whole microseconds.
    let since = seconds_of(since_us) - 1e-3;
    let history = on_gpu(device, |gpu, at| {
        if gpu.faults.no_samples { Err(NOT_SUPPORTED) } else { Ok(gpu.samples(since, at)) }
    })?;
    put(value_type, sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT)?;
    if buffer.is_null() {
        return put(count, c_uint::try_from(SAMPLES_KEPT).unwrap_or(0));
    }
    // SAFETY: the C interface requires an initialised count.
    let room = usize::try_from(unsafe { count.read() }).unwrap_or(0);
    let newer: Vec<sys::nvmlSample_t> = history
        .into_iter()
        .map(|(at, milliwatts)| (stamp(at), milliwatts))
        .filter(|&(stamp, _)| stamp > since_us)
        .map(|(stamp, milliwatts)| sys::nvmlSample_t {
            timeStamp: stamp,
            sampleValue: sys::nvmlValue_t { ullVal: u64::from(milliwatts) },
        })
        .collect();
    if newer.is_empty() {
        return Err(NOT_FOUND);
    }
    let taken = newer.len().min(room);
    put(count, c_uint::try_from(taken).unwrap_or(0))?;
    for (place, sample) in newer.into_iter().take(taken).enumerate() {
        // SAFETY: there is room for as many as the caller counted, and `place` is below that.
        unsafe { buffer.add(place).write(sample) };
    }
    Ok(())
}

/// A driver's stamp as a time of the script.
fn seconds_of(stamp_us: u64) -> f64 {
    state::with(|state| {
        let ago = Duration::from_micros((state.wall_ns() / 1000).saturating_sub(stamp_us));
        state.seconds(state.now_ns()) - ago.as_secs_f64()
    })
}

/// A time of the script as the driver's stamp: wall clock in microseconds.
fn stamp(at: f64) -> u64 {
    state::with(|state: &mut State| {
        let ago = state.seconds(state.now_ns()) - at;
        state.wall_ns().saturating_sub(whole(ago * 1e9)) / 1000
    })
}
