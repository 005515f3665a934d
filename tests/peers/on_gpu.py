"""Measures a real GPU: agreement of its instruments, the meter's own effect, and Zeus beside it.

It needs nothing but Python, the driver, and `record` (cargo build --release -p llem-meter --example
record); Zeus takes part if it is installed. The load is a kernel of fused multiply-adds, given to the
driver as PTX. Prints Markdown tables, and writes what was recorded with --series.

    python tests/peers/on_gpu.py --record target/release/examples/record --series h100.json
"""

import argparse
import ctypes
import json
import subprocess
import time

PTX = """
.version 7.0
.target sm_70
.address_size 64
.visible .entry burn(.param .u64 out, .param .u32 count)
{
    .reg .pred %again;
    .reg .f32 %f<11>;
    .reg .b32 %n, %i, %t;
    .reg .b64 %place;
    ld.param.u64 %place, [out];
    ld.param.u32 %n, [count];
    mov.u32 %t, %tid.x;
    cvt.rn.f32.u32 %f1, %t;
    mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;
    mov.f32 %f5, %f1; mov.f32 %f6, %f1; mov.f32 %f7, %f1; mov.f32 %f8, %f1;
    mov.f32 %f9, 0f3F7FBE77;
    mov.f32 %f10, 0f3A83126F;
    mov.u32 %i, 0;
loop:
    FMAS
    add.u32 %i, %i, 1;
    setp.lt.u32 %again, %i, %n;
    @%again bra loop;
    add.f32 %f1, %f1, %f2; add.f32 %f1, %f1, %f3; add.f32 %f1, %f1, %f4; add.f32 %f1, %f1, %f5;
    add.f32 %f1, %f1, %f6; add.f32 %f1, %f1, %f7; add.f32 %f1, %f1, %f8;
    cvta.to.global.u64 %place, %place;
    st.global.f32 [%place], %f1;
    ret;
}
"""
FMAS = "".join(f"fma.rn.f32 %f{k}, %f{k}, %f9, %f10;\n" for _ in range(8) for k in range(1, 9))


def checked(code):
    if code:
        raise RuntimeError(f"the driver returned {code}")


class Load:
    """A kernel that keeps the first GPU busy for a given time."""

    def __init__(self):
        self.cuda = cuda = ctypes.CDLL("libcuda.so.1")
        device, context, module = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self.function, self.out = ctypes.c_void_p(), ctypes.c_uint64()
        checked(cuda.cuInit(0))
        checked(cuda.cuDeviceGet(ctypes.byref(device), 0))
        checked(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
        checked(cuda.cuCtxSetCurrent(context))
        text = PTX.replace("FMAS", FMAS).encode()
        checked(cuda.cuModuleLoadData(ctypes.byref(module), text))
        checked(cuda.cuModuleGetFunction(ctypes.byref(self.function), module, b"burn"))
        checked(cuda.cuMemAlloc_v2(ctypes.byref(self.out), 4))
        self.rounds = 20_000
        self.launch(self.rounds)
        begin = time.monotonic()
        self.launch(self.rounds)
        self.rounds = max(int(self.rounds * 0.005 / (time.monotonic() - begin)), 1)

    def launch(self, rounds):
        count = ctypes.c_uint32(rounds)
        arguments = (ctypes.c_void_p * 2)(
            ctypes.cast(ctypes.byref(self.out), ctypes.c_void_p),
            ctypes.cast(ctypes.byref(count), ctypes.c_void_p),
        )
        size = [ctypes.c_uint(n) for n in (4096, 1, 1, 256, 1, 1, 0)]
        checked(self.cuda.cuLaunchKernel(self.function, *size, None, arguments, None))
        checked(self.cuda.cuCtxSynchronize())

    def run(self, seconds):
        """Kernels of about 5 ms until the time is over; gives the begin and the end."""
        begin = time.monotonic_ns()
        while time.monotonic_ns() < begin + seconds * 1e9:
            self.launch(self.rounds)
        return begin, time.monotonic_ns()

    def square(self, seconds, low, high):
        begin = time.monotonic_ns()
        while time.monotonic_ns() < begin + seconds * 1e9:
            time.sleep(low)
            self.run(high)
        return begin, time.monotonic_ns()


class Idle(Load):
    """No load, for a try without a GPU."""

    def __init__(self):
        self.rounds = 1

    def launch(self, rounds):
        time.sleep(0.005)


class Counter:
    """The energy counter, read alone."""

    def __init__(self):
        self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
        self.device = ctypes.c_void_p()
        checked(self.nvml.nvmlInit_v2())
        checked(self.nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self.device)))

    def read(self):
        value = ctypes.c_ulonglong()
        checked(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.device, ctypes.byref(value)))
        return value.value / 1e3

    def edge(self):
        """Time and value of the next publication."""
        before = value = self.read()
        while value == before:
            value = self.read()
        return time.monotonic(), value

    def power(self, seconds):
        (t0, e0), _, (t1, e1) = self.edge(), time.sleep(seconds), self.edge()
        return (e1 - e0) / (t1 - t0)


def start(arguments):
    command = [arguments.record]
    if arguments.series:
        command += ["--series", arguments.series]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "ready"
    return process


def observer(counter, arguments):
    """Idle power without and with a recording, in turn."""
    powers = {False: [], True: []}
    for turn in range(2 * arguments.turns):
        recorded = turn % 2 == 1
        process = start(argparse.Namespace(record=arguments.record, series=None)) if recorded else None
        time.sleep(1)
        powers[recorded].append(counter.power(arguments.idle))
        if process:
            process.communicate("")
    print("| idle power | W, each turn | mean |\n|---|---|---|")
    for recorded, label in ((False, "not recorded"), (True, "recorded")):
        turns = powers[recorded]
        print(f"| {label} | {', '.join(f'{p:.2f}' for p in turns)} | {sum(turns) / len(turns):.2f} |")
    difference = sum(powers[True]) / len(powers[True]) - sum(powers[False]) / len(powers[False])
    print(f"\nThe recording changes idle power by {difference:+.2f} W.\n")


def zeus_monitor():
    try:
        from zeus.monitor import ZeusMonitor

        return ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    except ImportError:
        return None


def windows(load, idle_seconds):
    """Names, modes and loads, in the order in which they run."""
    return [
        ("idle", "running", lambda: (time.monotonic_ns(), time.sleep(idle_seconds), time.monotonic_ns())[::2]),
        ("load_1s", "isolated", lambda: load.run(1.0)),
        ("load_5s", "isolated", lambda: load.run(5.0)),
        ("square_200_200", "isolated", lambda: load.square(10.0, 0.2, 0.2)),
        ("square_50_50", "isolated", lambda: load.square(10.0, 0.05, 0.05)),
        ("load_again_5s", "isolated", lambda: load.run(5.0)),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", default="target/release/examples/record")
    parser.add_argument("--series", help="file for what was recorded")
    parser.add_argument("--idle", type=float, default=20, help="seconds of each idle observation")
    parser.add_argument("--turns", type=int, default=2, help="idle observations with and without")
    parser.add_argument("--no-load", action="store_true", help="try without a GPU")
    arguments = parser.parse_args()
    load, counter = Idle() if arguments.no_load else Load(), Counter()
    time.sleep(5)
    observer(counter, arguments)
    monitor, process, beside, lines = zeus_monitor(), start(arguments), {}, []
    for name, mode, run in windows(load, arguments.idle):
        time.sleep(3)
        if monitor:
            monitor.begin_window(name, sync_execution=False)
        begin, end = run()
        if monitor:
            beside[name] = sum(monitor.end_window(name, sync_execution=False).gpu_energy.values())
        lines.append(f"{mode} {begin} {end} {name}\n")
    time.sleep(3)
    out, _ = process.communicate("".join(lines))
    print("| window | method | s | J | k = 2 | samples differ | average differs | verdict | Zeus differs |")
    print("|---|---|---|---|---|---|---|---|---|")
    percent = lambda value: "-" if value is None else f"{100 * value:+.3f} %"
    for line in out.splitlines():
        name, reading = (found := json.loads(line))["name"], found["reading"]
        energy, window, checks = reading["energy_joules"], reading["window"], reading["checks"]
        seconds = (window["end_ns"] - window["begin_ns"]) / 1e9
        # A running window is a little shorter than Zeus's, so powers are compared, not energies.
        asked = next((int(w[2]) - int(w[1])) / 1e9 for w in map(str.split, lines) if w[3] == name)
        zeus = beside.get(name) and energy and (beside[name] / asked) / (energy / seconds) - 1
        u = reading["uncertainty"] and 2 * reading["uncertainty"]["compare_joules"]
        cells = [name, reading["method"], f"{seconds:.3f}", energy and f"{energy:.2f}", u and f"{u:.2f}"]
        cells += [percent(checks["samples_discrepancy"]), percent(checks["average_discrepancy"])]
        cells += [" ".join([reading["verdict"], *reading["flags"]]), percent(zeus)]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    main()
