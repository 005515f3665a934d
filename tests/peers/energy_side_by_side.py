"""Prints how far energy tools are from a known energy, all on one simulated GPU in real time.

Every tool runs in a process of its own on the fake management library, which all of them load as
libnvidia-ml.so.1 and which shows them the same GPU: the script of its power and its clock are shared.
Each is used as its documentation says, around isolated jobs of 1 s and of 5 s.

    python -m venv VENV
    VENV/bin/pip install zeus==0.16.0 nvidia-ml-py
    VENV/bin/pip install --no-deps llenergymeasure==0.7.0
    cargo build --release -p llem-fake-nvml && cargo build --release -p llem-meter --example record
    VENV/bin/python tests/peers/energy_side_by_side.py --target target/release

A tool that is not installed is left out with a line that says so. Not part of the automatic tests.
"""

import argparse
import ctypes
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import types

IDLE = 128.0


def script(seed, short, long):
    """Steps of power, and the jobs as (begin, end) in seconds of the script."""
    rng = random.Random(seed)
    steps, jobs, now = [(0.0, IDLE)], [], 8.0
    for seconds in [1.0] * short + [5.0] * long:
        now += 3.0 + rng.random()
        end = now + seconds
        jobs.append((now, end))
        at = now
        while at < end:
            steps.append((at, 460 + 40 * rng.random()))
            at += 0.1 + 0.5 * rng.random()
            if at < end:
                steps.append((at, 640 + 60 * rng.random()))
                at += 0.03 + 0.12 * rng.random()
        steps.append((end, IDLE))
        now = end
    return steps, jobs


def wait_until(at_ns):
    while (left := at_ns - time.monotonic_ns()) > 0:
        time.sleep(max(left / 1e9 - 0.001, 0.0001))


def ready(jobs):
    """A tool that is still starting when the first job begins says nothing about its accuracy."""
    if time.monotonic_ns() > jobs[0][0] - 1_500_000_000:
        sys.exit("it was not ready before the first job: use a longer --lead")


def zeus_monitor(jobs):
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    ready(jobs)
    for begin, end in jobs:
        wait_until(begin)
        monitor.begin_window("job", sync_execution=False)
        wait_until(end)
        yield sum(monitor.end_window("job", sync_execution=False).gpu_energy.values())


def zeus_power_monitor(jobs):
    from zeus.monitor.power import PowerMonitor

    # Its subprocesses may take more than the ten seconds that it allows on a busy machine.
    for attempt in range(5):
        try:
            monitor = PowerMonitor(gpu_indices=[0], update_period=0.1)
            break
        except RuntimeError:
            if attempt == 4:
                raise
    ready(jobs)
    for begin, end in jobs:
        wait_until(begin)
        start = time.time()
        wait_until(end)
        stop = time.time()
        time.sleep(0.5)
        energy = monitor.get_energy(start, stop)
        yield sum(energy.values()) if energy else math.nan
    monitor.stop() if hasattr(monitor, "stop") else monitor._stop()


def llenergymeasure(jobs):
    # The package's own initialisation imports its engines' dependencies; the sampler needs none.
    spec = next(pathlib.Path(p) / "llenergymeasure" for p in sys.path if (pathlib.Path(p) / "llenergymeasure").is_dir())
    for name, folder in [("llenergymeasure", spec), ("llenergymeasure.energy", spec / "energy"), ("llenergymeasure.device", spec / "device")]:
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    from llenergymeasure.device import power_thermal  # noqa: F401
    from llenergymeasure.energy.nvml import NVMLSampler

    ready(jobs)
    for begin, end in jobs:
        sampler = NVMLSampler([0])
        wait_until(begin)
        tracker = sampler.start_tracking()
        wait_until(end)
        yield sampler.stop_tracking(tracker).total_j


PEERS = {
    "Zeus 0.16.0, ZeusMonitor": zeus_monitor,
    "Zeus 0.16.0, PowerMonitor at 10 Hz": zeus_power_monitor,
    "LLenergyMeasure 0.7.0, NVMLSampler": llenergymeasure,
}


def worker(name, jobs):
    print(json.dumps(list(PEERS[name](jobs))), flush=True)


def table(rows, jobs, truth, short):
    print("| tool | 1 s: bias | rms | max | 5 s: bias | rms | max |")
    print("|---|---|---|---|---|---|---|")
    for name, energies in rows:
        if energies is None:
            print(f"| {name} | not available ||||||")
            continue
        errors = [100 * (e / t - 1) for e, t in zip(energies, truth)]
        cells = []
        for part in (errors[:short], errors[short:]):
            rms = math.sqrt(sum(e * e for e in part) / len(part))
            cells += [f"{sum(part) / len(part):+.3f} %", f"{rms:.3f} %", f"{max(map(abs, part)):.3f} %"]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", default="target/release", help="where cargo put the library")
    parser.add_argument("--short", type=int, default=7, help="jobs of 1 s")
    parser.add_argument("--long", type=int, default=5, help="jobs of 5 s")
    parser.add_argument("--lead", type=float, default=15, help="seconds for the tools to start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker[0], json.loads(options.worker[1]))

    target = pathlib.Path(options.target)
    steps, jobs = script(options.seed, options.short, options.long)
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder) / "libnvidia-ml.so.1"
        shutil.copy(target / "libllem_fake_nvml.so", library)
        origin = time.monotonic_ns() + int(options.lead * 1e9)
        config = json.dumps({"origin_ns": origin, "gpus": [{"power": {"steps": steps}}]})
        environment = {**os.environ, "LD_LIBRARY_PATH": folder, "LLEM_FAKE_NVML": config}
        times = [(origin + int(b * 1e9), origin + int(e * 1e9)) for b, e in jobs]
        commands = {"llem": [str(target / "examples/record")]}
        windows = "".join(f"isolated {begin} {end} job\n" for begin, end in times)
        for name in PEERS:
            commands[name] = [sys.executable, __file__, "--worker", name, json.dumps(times)]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        running = {n: subprocess.Popen(c, env=environment, text=True, **pipes) for n, c in commands.items()}
        for process in running.values():
            process.stdin.write(windows)
            process.stdin.flush()
        rows = []
        for name, process in running.items():
            out, error = process.communicate()
            if process.returncode:
                print(f"{name}: {error.strip().splitlines()[-1:]}", file=sys.stderr)
                rows.append((name, None))
            elif name == "llem":
                readings = [json.loads(line)["reading"] for line in out.splitlines()[1:]]
                rows.append((name, [reading["energy_joules"] for reading in readings]))
            else:
                rows.append((name, json.loads(out)))
        os.environ["LLEM_FAKE_NVML"] = config
        fake = ctypes.CDLL(str(library))
        fake.llem_fake_energy.restype = ctypes.c_double
        fake.llem_fake_energy.argtypes = [ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint64]
        truth = [fake.llem_fake_energy(0, begin, end) for begin, end in times]
    table(rows, jobs, truth, options.short)


if __name__ == "__main__":
    main()
