#!/usr/bin/env python3
"""Compares load generators on the fake engine: what they cost and how wrong they are.

Runs each client against a server that streams 128 tokens a request, the first after 50 ms, at a rate that does
not depend on the number of streams, and prints one table row a run. Needs a release build of `llem-client-bench` and
`llem-fake-engine`, and for the Python clients a virtual environment with `aiperf==0.13.0` and `guidellm==0.8.*`:

    cargo build --release -p llem-client-bench -p llem-fake-engine
    python3 -m venv VENV && VENV/bin/pip install aiperf==0.13.0 'guidellm==0.8.*'
    tests/bench/clients_side_by_side.py target/release --venv VENV --streams 1,64,256

Changes nothing outside its temporary folder and starts nothing that it does not end.
"""

import argparse
import atexit
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

TOKENS = 128
FIRST_TOKEN_MS = 50.0


def gap_ms(streams):
    """25,600 tokens a second from 256 streams on; 10 ms below."""
    return max(10.0, streams / 25.6)


class Server:
    def __init__(self, binary, streams, log):
        behaviour = {"first_token_ms": FIRST_TOKEN_MS, "gap_ms": gap_ms(streams)}
        self.process = subprocess.Popen([binary, "0", json.dumps(behaviour)], stdout=subprocess.PIPE, stderr=log, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def truth(self):
        with urllib.request.urlopen(self.url + "/truth") as answer:
            return json.load(answer)["served"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def bench_program(directory, name):
    def run(server, streams, requests, _scratch, log):
        command = [directory / name, server.url + "/v1", str(streams), str(requests), str(TOKENS)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=True, text=True).stdout)
        return {"ttft": found["ttft_ms"], "itl": found["itl_ms"], "rate": found["tokens_per_second"], "cpu": found["cpu_us_per_token"]}

    return run


def aiperf(venv, tokenizer):
    def run(server, streams, requests, scratch, log):
        command = [
            venv / "bin/aiperf", "profile", "--model", "fake", "--url", server.url, "--endpoint-type", "completions", "--streaming",
            "--concurrency", str(streams), "--request-count", str(requests), "--synthetic-input-tokens-mean", "16",
            "--output-tokens-mean", str(TOKENS), "--output-tokens-stddev", "0", "--extra-inputs", f"max_tokens:{TOKENS}",
            "--use-server-token-count", "--tokenizer", tokenizer, "--ui", "none", "--output-artifact-dir", scratch,
        ]
        subprocess.run(command, stdout=log, stderr=log, check=True)
        found = json.loads(next(pathlib.Path(scratch).rglob("profile_export_aiperf.json")).read_text())
        pick = lambda name: {"p50": found[name]["p50"], "p99": found[name]["p99"]}
        return {"ttft": pick("time_to_first_token"), "itl": pick("inter_token_latency"), "rate": found["output_token_throughput"]["avg"]}

    return run


def guidellm(venv, tokenizer):
    def run(server, streams, requests, scratch, log):
        output = pathlib.Path(scratch) / "benchmarks.json"
        command = [
            venv / "bin/guidellm", "run", "--backend", f"kind=openai_http,target={server.url},model=fake,request_format=/v1/completions",
            "--profile", f"kind=concurrent,streams={streams}", "--constraint", f"kind=max_requests,count={requests}",
            "--tokenizer", f"kind=hf_auto,model={tokenizer}", "--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={TOKENS}",
            "--output", f"kind=json,path={output}", "--disable-console",
        ]
        subprocess.run(command, stdout=log, stderr=log, check=True)
        metrics = json.loads(output.read_text())["benchmarks"][0]["metrics"]
        pick = lambda name: {"p50": metrics[name]["successful"]["percentiles"]["p50"], "p99": metrics[name]["successful"]["percentiles"]["p99"]}
        rate = metrics["output_tokens_per_second"]["successful"]["mean"]
        return {"ttft": pick("time_to_first_token_ms"), "itl": pick("inter_token_latency_ms"), "rate": rate}

    return run


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
    return values[min(int(len(values) * share), len(values) - 1)]


def measure(run, binary, streams, requests):
    """One run of one client against a server of its own. The server is waited for after the client's time is taken."""
    with tempfile.TemporaryDirectory() as scratch, open(pathlib.Path(scratch) / "log", "w+") as log:
        server = Server(binary, streams, log)
        try:
            before, began = children_cpu_seconds(), time.monotonic()
            found = run(server, streams, requests, scratch, log)
            cpu, wall = children_cpu_seconds() - before, time.monotonic() - began
            served = server.truth()
        except (subprocess.CalledProcessError, KeyError, StopIteration) as error:
            log.seek(0)
            return {"error": f"{error}: {log.read()[-300:]}"}
        finally:
            server.stop()
        tokens = sum(request["tokens"] for request in served)
        true_first = [(request["first_token_ns"] - request["arrived_ns"]) / 1e6 for request in served if request["first_token_ns"]]
        return found | {
            "cpu": found.get("cpu", cpu / tokens * 1e6), "wall": wall, "tokens": tokens,
            "true_first": {"p50": rank(true_first, 0.5), "p99": rank(true_first, 0.99)},
        }


def show(value):
    return "-" if value is None else f"{value:,.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=pathlib.Path, help="folder of the release build")
    parser.add_argument("--venv", type=pathlib.Path, help="virtual environment of the Python clients")
    parser.add_argument("--streams", default="1,64,256,1024,4096")
    parser.add_argument("--rounds", type=int, default=5, help="requests a stream")
    parser.add_argument("--only", help="name of one client")
    arguments = parser.parse_args()
    clients = {name: bench_program(arguments.binaries, program) for name, program in [("llem", "llem-streams"), ("bare hyper", "bare-hyper")]}
    if arguments.venv:
        # Not in a temporary folder of a run: making it is not the clients' work.
        tokenizer = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, tokenizer)
        subprocess.run([arguments.venv / "bin/python", "-c", TOKENIZER, tokenizer], check=True, stderr=subprocess.DEVNULL)
        clients |= {"AIPerf": aiperf(arguments.venv, tokenizer), "GuideLLM": guidellm(arguments.venv, tokenizer)}
    server = shutil.which("llem-fake-engine", path=arguments.binaries) or sys.exit("the fake engine is not built")
    print("| client | streams | CPU us/token | tokens/s | TTFT p50 ms | TTFT p99 ms | ITL p99 ms | true TTFT p50 ms | true TTFT p99 ms |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for streams in map(int, arguments.streams.split(",")):
        for name, run in clients.items():
            if arguments.only not in (None, name):
                continue
            row = measure(run, server, streams, streams * arguments.rounds)
            if "error" in row:
                print(f"| {name} | {streams:,} | failed: {row['error']!r} |", flush=True)
                continue
            cells = [row["cpu"], row["rate"], row["ttft"]["p50"], row["ttft"]["p99"], row["itl"]["p99"], row["true_first"]["p50"], row["true_first"]["p99"]]
            print(f"| {name} | {streams:,} | " + " | ".join(map(show, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
