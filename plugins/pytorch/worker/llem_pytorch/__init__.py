"""The transformers worker: `generate` and `generate_batch` behind `llem-batch/1`."""
