"""The worker side of `llem-batch/1`: what every Python engine worker has in common.

Standard library only. An engine's package implements `session.Engine`; its `main.py` takes the
protocol descriptors before it imports the engine and then hands over to `session.run`.
"""
