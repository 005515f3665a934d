"""The engine: one `vllm.LLM` and its batches.

A batch is one `LLM.generate` call. It returns when all tokens are on the host, so the device has
done the batch's work by then. Steps are not reported: the engine core is a process of its own.
"""

from __future__ import annotations

import contextlib
from typing import Any

import vllm
from vllm import LLM, SamplingParams

from llem_worker.failures import CRASH, WorkerFailure, kind_of
from llem_worker.messages import Generate, Load, Loaded, RequestTimes
from llem_worker.session import Report
from llem_worker.settings import Settings, nest
from llem_worker.timing import now_ns, within

from . import effective, loading


class VllmEngine:
    """Implements `llem_worker.session.Engine` on vLLM."""

    name = "vllm"

    def load(self, request: Load) -> Loaded:
        """Starts the engine core and waits until it is ready."""
        keywords = loading.arguments(request)
        self._llm: Any = LLM(**keywords)
        return Loaded(
            version=vllm.__version__,
            effective=effective.read(self._llm.llm_engine.vllm_config),
            memory_bytes=None,
        )

    def generate(self, request: Generate, report: Report) -> None:
        """Generates one batch; a dead engine core is a fatal failure."""
        parameters = sampling(request)
        prompts: list[Any] = (
            [{"prompt_token_ids": row} for row in request.prompts]
            if request.prompts is not None
            else list(request.texts or [])
        )
        began_ns = report.begin()
        try:
            outputs = self._llm.generate(prompts, parameters, use_tqdm=False)
        except Exception as error:
            dead = "EngineDead" in type(error).__name__
            raise WorkerFailure(CRASH if dead else kind_of(error), str(error), fatal=dead) from error
        ended_ns = now_ns()
        report.end([_times(output, began_ns, ended_ns, request.return_text) for output in outputs])

    def close(self) -> None:
        """Stops the engine core, which holds the device's memory."""
        core = getattr(self._llm.llm_engine, "engine_core", None)
        with contextlib.suppress(Exception):
            core.shutdown()
        self._llm = None


def sampling(request: Generate) -> SamplingParams:
    """The sampling parameters of a batch."""
    settings = Settings(request.settings)
    tree = nest(settings.take_section("sampling"))
    settings.finish()
    nested = tree.get("structured_outputs")
    if isinstance(nested, dict):
        from vllm.sampling_params import StructuredOutputsParams

        tree["structured_outputs"] = StructuredOutputsParams(**nested)
    nested = tree.get("repetition_detection")
    if isinstance(nested, dict):
        from vllm.sampling_params import RepetitionDetectionParams

        tree["repetition_detection"] = RepetitionDetectionParams(**nested)
    tree.setdefault("detokenize", request.return_text or bool(tree.get("stop")))
    if request.exact:
        tree["ignore_eos"] = True
    return SamplingParams(max_tokens=request.max_tokens, **tree)


def _times(output: Any, began_ns: int, ended_ns: int, with_text: bool) -> RequestTimes:
    """One entry a prompt; the outputs of `n` > 1 are summed."""
    metrics = output.metrics
    made = [len(part.token_ids) for part in output.outputs]
    reasons = {part.finish_reason for part in output.outputs}
    scheduled = within(getattr(metrics, "queued_ts", None), began_ns, ended_ns)
    return RequestTimes(
        input_tokens=len(output.prompt_token_ids or ()),
        output_tokens=sum(made),
        scheduled_ns=began_ns if scheduled is None else scheduled,
        first_token_ns=within(getattr(metrics, "first_token_ts", None), began_ns, ended_ns),
        last_token_ns=within(getattr(metrics, "last_token_ts", None), began_ns, ended_ns),
        finish="length" if reasons == {"length"} else "stop" if reasons <= {"length", "stop"} else "error",
        text=output.outputs[0].text if with_text else None,
    )
