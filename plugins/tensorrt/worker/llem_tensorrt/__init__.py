"""The TensorRT-LLM worker: the LLM API behind `llem-batch/1`."""
