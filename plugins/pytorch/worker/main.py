"""Entry point of the transformers worker.

Takes the protocol descriptors before torch is imported; torch and transformers may print.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from llem_worker.protocol import Channel

    channel = Channel.take_over()

    from llem_pytorch.engine import TransformersEngine
    from llem_worker.session import run

    sys.exit(run(channel, TransformersEngine()))
