"""Entry point of the vLLM worker.

Takes the protocol descriptors before vLLM is imported. The guard matters: vLLM starts processes
that import this file again.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from llem_worker.protocol import Channel

    channel = Channel.take_over()

    from llem_vllm.engine import VllmEngine
    from llem_worker.session import run

    sys.exit(run(channel, VllmEngine()))
