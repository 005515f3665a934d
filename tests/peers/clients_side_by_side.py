#!/usr/bin/env python3
"""Compares load generators on the fake engine: what they cost and how wrong they are.

Every run has a server of its own that streams 128 tokens a request, the first after 50 ms, at a rate that does not
depend on the number of streams, and that says afterwards what it really did. Prints Markdown tables: all clients in a
closed loop; llem where 16 tokens come in one write; llem in an open loop of 1,000 requests a second; 10,000 streams.

    cargo build --release -p llem-client-bench -p llem-fake-engine
    python3 -m venv VENV && VENV/bin/pip install aiperf==0.13.0 'guidellm==0.8.*'
    VENV/bin/pip download --no-deps -d WHEELS sglang==0.5.23 vllm==0.33.0
    tests/peers/clients_side_by_side.py target/release --venv VENV --wheels WHEELS

Of the wheels only the clients written in Rust are taken. What is not given is left out. Changes nothing outside its
temporary folder and starts nothing that it does not end.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile

TOKENS = 128
FIRST_TOKEN_MS = 50.0
LONGEST_S = 600


def gap_ms(streams):
    """25,600 tokens a second from 256 streams on; 10 ms below."""
    return max(10.0, streams / 25.6)


class Server:
    def __init__(self, binary, behaviour, log):
        self.process = subprocess.Popen([binary, "0", json.dumps(behaviour)], stdout=subprocess.PIPE, stderr=log, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def truth(self):
        with urllib.request.urlopen(self.url + "/truth") as answer:
            return json.load(answer)["served"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def command(arguments, log, **more):
    subprocess.run(arguments, stdout=log, stderr=log, check=True, timeout=LONGEST_S, **more)


def bench_program(directory, name, *more):
    """One of llem's own bench programs; its processor time is that of the process, start included."""

    def run(server, streams, requests, _scratch, log):
        arguments = [directory / name, server.url + "/v1", str(streams), str(requests), str(TOKENS), *more]
        found = json.loads(subprocess.run(arguments, stdout=subprocess.PIPE, stderr=log, check=True, text=True, timeout=LONGEST_S).stdout)
        return {
            "ttft": found["ttft_ms"] or {}, "itl": found["itl_ms"] or {}, "own_cpu": found["cpu_us_per_token"],
            "seen": found["tokens"], "delay": found["dispatch_delay_ms"], "warnings": found["warnings"],
        }

    return run


def aiperf(venv, tokenizer):
    def run(server, streams, requests, scratch, log):
        command([
            venv / "bin/aiperf", "profile", "--model", "fake", "--url", server.url, "--endpoint-type", "completions", "--streaming",
            "--concurrency", str(streams), "--request-count", str(requests), "--synthetic-input-tokens-mean", "16",
            "--output-tokens-mean", str(TOKENS), "--output-tokens-stddev", "0", "--extra-inputs", f"max_tokens:{TOKENS}",
            "--use-server-token-count", "--tokenizer", tokenizer, "--ui", "none", "--output-artifact-dir", scratch,
        ], log)
        found = json.loads(next(pathlib.Path(scratch).rglob("profile_export_aiperf.json")).read_text())
        pick = lambda name: {"p50": found[name]["p50"], "p99": found[name]["p99"]}
        return {"ttft": pick("time_to_first_token"), "itl": pick("inter_token_latency")}

    return run


def guidellm(venv, tokenizer):
    def run(server, streams, requests, scratch, log):
        output = pathlib.Path(scratch) / "benchmarks.json"
        command([
            venv / "bin/guidellm", "run", "--backend", f"kind=openai_http,target={server.url},model=fake,request_format=/v1/completions",
            "--profile", f"kind=concurrent,streams={streams}", "--constraint", f"kind=max_requests,count={requests}",
            "--tokenizer", f"kind=hf_auto,model={tokenizer}", "--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={TOKENS}",
            "--output", f"kind=json,path={output}", "--disable-console",
        ], log)
        metrics = json.loads(output.read_text())["benchmarks"][0]["metrics"]
        pick = lambda name: {"p50": metrics[name]["successful"]["percentiles"]["p50"], "p99": metrics[name]["successful"]["percentiles"]["p99"]}
        return {"ttft": pick("time_to_first_token_ms"), "itl": pick("inter_token_latency_ms")}

    return run


# The client is a Python extension, so an interpreter of its version has to load it.
SGLANG = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("_bench", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.run_argv(["sglang-bench"] + sys.argv[2:])
"""


def serving(program, tokenizer, more, output_option):
    """The clients of sglang and vLLM take nearly the same arguments and write the same names."""

    def run(server, streams, requests, scratch, log):
        output = pathlib.Path(scratch) / "result.json"
        command([
            *program, "--backend", "vllm", "--base-url", server.url, "--model", "fake", "--tokenizer", tokenizer,
            "--num-prompts", str(requests), "--random-input-len", "16", "--random-output-len", str(TOKENS),
            "--max-concurrency", str(streams), "--disable-tqdm", *more, *output_option(output),
        ], log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        found = json.loads(output.read_text().splitlines()[-1] if output.read_text().count("\n") <= 1 else output.read_text())
        pick = lambda name: {"p50": found.get(f"median_{name}_ms"), "p99": found.get(f"p99_{name}_ms")}
        return {"ttft": pick("ttft"), "itl": pick("itl")}

    return run


def from_wheels(wheels, folder, pattern):
    """Takes the one file out of a folder of wheels whose path matches; none where there is none."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if re.search(pattern, name):
                    path = pathlib.Path(archive.extract(name, folder))
                    path.chmod(0o755)
                    return path
    return None


# Bytes as tokens: the Python clients want a tokenizer, and none is to be downloaded.
TOKENIZER = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={letter: id for id, letter in enumerate(letters + ["<end>"])}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", unk_token="<end>").save_pretrained(sys.argv[1])
"""


def children_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rank(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)] if values else None


def measure(run, binary, streams, requests, behaviour):
    """One run of one client against a server of its own. The server is waited for after the client's time is taken."""
    with tempfile.TemporaryDirectory() as scratch, open(pathlib.Path(scratch) / "log", "w+") as log:
        server = Server(binary, behaviour, log)
        try:
            before = children_cpu_seconds()
            found = run(server, streams, requests, scratch, log)
            cpu = children_cpu_seconds() - before
            served = server.truth()
        except (subprocess.SubprocessError, KeyError, StopIteration, OSError, ValueError) as error:
            log.seek(0)
            return {"error": f"{error}: {log.read()[-300:]}"}
        finally:
            server.stop()
    tokens = sum(request["tokens"] for request in served)
    first = [(request["first_token_ns"] - request["arrived_ns"]) / 1e6 for request in served if request["first_token_ns"]]
    truth = {"p50": rank(first, 0.5), "p99": rank(first, 0.99)}
    off = lambda name: None if found["ttft"].get(name) is None else found["ttft"][name] - truth[name]
    return found | {
        "cpu": found.get("own_cpu", cpu / tokens * 1e6), "tokens": tokens, "requests": len(served),
        "rate": request_rate(served, streams), "off50": off("p50"), "off99": off("p99"), "true99": truth["p99"], "itl_off": itl_off(found, behaviour, served),
    }


def request_rate(served, streams):
    """Requests a second as the server saw them, from when all streams had begun to when the last request came: how fast a
    client replaces what is finished, whether it starts its streams at once or one after the other."""
    arrived = sorted(request["arrived_ns"] for request in served)
    seconds = (arrived[-1] - arrived[streams - 1]) / 1e9 if len(arrived) > streams else 0
    return (len(arrived) - streams) / seconds if seconds else None


def itl_off(found, behaviour, served):
    """Error of the median gap: the truth is the mean gap of the median request."""
    if found["itl"].get("p50") is None:
        return None
    gaps = [(it["last_token_ns"] - it["first_token_ns"]) / 1e6 / (it["tokens"] - 1) for it in served if it["tokens"] > 1]
    return found["itl"]["p50"] - rank(gaps, 0.5)


def show(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def median(rows, name):
    values = [row[name] for row in rows if row.get(name) is not None]
    return statistics.median(values) if values else None


def closed_loops(clients, server, arguments):
    print("| streams | client | CPU us/token | requests/s | tokens/s | TTFT p50 off, ms | TTFT p99 off, ms | ITL p50 off, ms | ITL p99 ms | true TTFT p99 ms |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for streams in map(int, arguments.streams.split(",")):
        behaviour = {"first_token_ms": FIRST_TOKEN_MS, "gap_ms": gap_ms(streams)}
        rows = {name: [] for name in clients}
        # In turn, so that what else the machine does meets all alike.
        for _ in range(arguments.repeat):
            for name, run in clients.items():
                rows[name].append(measure(run, server, streams, streams * max(arguments.rounds, 5 if streams == 1 else 1), behaviour))
        for name, found in rows.items():
            errors = [row["error"] for row in found if "error" in row]
            good = [row for row in found if "error" not in row]
            if not good:
                print(f"| {streams:,} | {name} | failed: {errors[0]!r} |", flush=True)
                continue
            for row in good:
                row["itl99"] = row["itl"].get("p99")
            rate = median(good, "rate")
            cells = [show(median(good, "cpu")), show(rate, 2), show(None if rate is None else rate * TOKENS)]
            cells += [show(median(good, key), 2) for key in ("off50", "off99", "itl_off", "itl99", "true99")]
            print(f"| {streams:,} | {name} | " + " | ".join(cells) + " |", flush=True)


def bursts(run, server, arguments):
    print("\n| streams, 16 tokens in a write | CPU us/token | tokens/s | tokens lost |")
    print("|--:|--:|--:|--:|")
    for streams in map(int, arguments.streams.split(",")):
        row = measure(run, server, streams, max(streams * 5, 4000), {"chunks_per_write": 16})
        print(f"| {streams:,} | " + (repr(row["error"]) if "error" in row else f"{show(row['cpu'], 2)} | {show(row['rate'] and row['rate'] * TOKENS, 0)} | {row['tokens'] - row['seen']}") + " |", flush=True)


def open_loop(run, server, arguments):
    print("\n| open loop, 1,000 requests/s for 10 s | dispatch delay p50 ms | p99 ms | warnings |")
    print("|--:|--:|--:|---|")
    for attempt in range(max(arguments.repeat, 3)):
        row = measure(run, server, 1, 10_000, {"first_token_ms": FIRST_TOKEN_MS, "gap_ms": 10.0})
        cells = repr(row["error"]) if "error" in row else f"{show(row['delay']['p50'], 3)} | {show(row['delay']['p99'], 3)} | {'; '.join(row['warnings']) or 'none'}"
        print(f"| run {attempt + 1} | {cells} |", flush=True)


def ten_thousand(run, server):
    row = measure(run, server, 10_000, 20_000, {"first_token_ms": FIRST_TOKEN_MS, "gap_ms": 400.0})
    print("\n10,000 streams: " + (row["error"] if "error" in row else f"{row['requests']:,} requests, {row['tokens']:,} tokens sent, {row['seen']:,} received, {show(row['cpu'])} us a token"), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=pathlib.Path, help="folder of the release build")
    parser.add_argument("--venv", type=pathlib.Path, help="virtual environment of the Python clients")
    parser.add_argument("--wheels", type=pathlib.Path, help="folder with the wheels of sglang and vLLM")
    parser.add_argument("--streams", default="1,64,256,1024,4096")
    parser.add_argument("--rounds", type=int, default=3, help="requests a stream")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each client, of which the median is told")
    parser.add_argument("--only", help="names of clients, separated by commas, and nothing but the first table")
    arguments = parser.parse_args()
    binaries = arguments.binaries.resolve()
    server = shutil.which("llem-fake-engine", path=binaries) or sys.exit("the fake engine is not built")
    own = {"llem": "llem-streams", "bare hyper": "bare-hyper", "bare read (no client)": "bare-read"}
    clients = {name: bench_program(binaries, program) for name, program in own.items()}
    with tempfile.TemporaryDirectory() as folder:
        # Not in a temporary folder of a run: making it is not the clients' work.
        tokenizer = str(pathlib.Path(folder) / "tokenizer")
        if arguments.venv:
            python = arguments.venv / "bin/python"
            subprocess.run([python, "-c", TOKENIZER, tokenizer], check=True, stderr=subprocess.DEVNULL)
            clients |= {"AIPerf": aiperf(arguments.venv, tokenizer), "GuideLLM": guidellm(arguments.venv, tokenizer)}
            if arguments.wheels:
                random = ["--dataset-name", "random-ids", "--random-range-ratio", "1", "--warmup-requests", "0", "--disable-retokenize"]
                if extension := from_wheels(arguments.wheels, folder, r"rust_extensions/_bench.*\.so$"):
                    clients["sglang (Rust)"] = serving([python, "-c", SGLANG, extension], tokenizer, random, lambda path: ["--output-file", path])
                if binary := from_wheels(arguments.wheels, folder, r"(^|/)vllm-rs$"):
                    random = ["--dataset-name", "random", "--ignore-eos", "--num-warmups", "0", "--percentile-metrics", "ttft,tpot,itl"]
                    clients["vLLM (Rust)"] = serving([binary, "bench", "serve"], tokenizer, random, lambda path: ["--save-result", "--result-dir", path.parent, "--result-filename", path.name])
        if arguments.only:
            clients = {name: clients[name] for name in arguments.only.split(",")}
        print(f"load average {', '.join(f'{it:.1f}' for it in os.getloadavg())}; {os.cpu_count()} cores\n", flush=True)
        began = time.monotonic()
        closed_loops(clients, server, arguments)
        if not arguments.only:
            bursts(clients["llem"], server, arguments)
            open_loop(bench_program(binaries, "llem-streams", "1000"), server, arguments)
            ten_thousand(clients["llem"], server)
        print(f"\nload average {', '.join(f'{it:.1f}' for it in os.getloadavg())}; {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
