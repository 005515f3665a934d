"""The vLLM worker: `vllm.LLM` behind `llem-batch/1`."""
