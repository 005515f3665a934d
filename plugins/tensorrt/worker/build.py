"""Builds a TensorRT engine of a model and saves it.

usage: build.py MODEL DIRECTORY OPTIONS      OPTIONS is a JSON file of arguments of the LLM class
"""

import json
import sys

if __name__ == "__main__":
    from tensorrt_llm._tensorrt_engine import LLM
    from tensorrt_llm.llmapi import BuildConfig, CalibConfig, QuantConfig

    model, directory, options = sys.argv[1:4]
    with open(options, encoding="utf-8") as file:
        keywords = json.load(file)
    for name, kind in (("build_config", BuildConfig), ("quant_config", QuantConfig), ("calib_config", CalibConfig)):
        if isinstance(keywords.get(name), dict):
            keywords[name] = kind(**keywords[name])
    llm = LLM(model=model, **keywords)
    llm.save(directory)
    llm.shutdown()
