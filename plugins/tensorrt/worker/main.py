"""Entry point of the TensorRT-LLM worker.

Takes the protocol descriptors before the engine is imported. The guard matters: the engine starts
processes that import this file again. With `--engine DIR` a built engine is loaded in place of the
model of the `load` message.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from llem_worker.protocol import Channel

    channel = Channel.take_over()

    from llem_tensorrt.engine import TensorRtEngine
    from llem_worker.session import run

    built = sys.argv[sys.argv.index("--engine") + 1] if "--engine" in sys.argv else None
    sys.exit(run(channel, TensorRtEngine(built)))
