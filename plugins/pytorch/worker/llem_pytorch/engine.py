"""The engine: one loaded model and its batches.

Puts the parts together: switches, loading, generation, clock. Each batch is one `generate` call
(or one `generate_batch` call), between two synchronisations of the device.
"""

from __future__ import annotations

import contextlib
import gc
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer

from llem_worker.failures import BAD_PARAMETER, OUT_OF_MEMORY, WorkerFailure, kind_of
from llem_worker.messages import Generate, Load, Loaded, RequestTimes
from llem_worker.session import Report
from llem_worker.settings import Settings

from . import batches, continuous, effective, generation, loading
from .batches import Layout
from .clock import StepCriterion, StepStreamer
from .switches import Switches

_LAYOUT = (
    "padding_side",
    "padding",
    "pad_to_multiple_of",
    "max_prompt_length",
    "truncation",
    "add_special_tokens",
    "apply_chat_template",
)


class TransformersEngine:
    """Implements `llem_worker.session.Engine` on transformers."""

    name = "transformers"

    def load(self, request: Load) -> Loaded:
        """Loads the model, applies every setting or refuses it, and waits for the device."""
        settings = Settings(request.settings)
        self._seed = request.seed
        torch.manual_seed(request.seed)
        self._switches = Switches(settings)
        self._switches.apply()
        self._take_runner(settings)
        self._model, self._source = loading.load(request.model, request.seed, settings)
        self._tokenizer: Any = None
        self._tokens = generation.special_tokens(self._model)
        self._model.generation_config = transformers.GenerationConfig(**self._tokens)
        self._assistant = self._load_assistant()
        if self._runner["compile_scope"] == "forward":
            self._model.forward = torch.compile(self._model.forward, **self._switches.compile)
        elif self._switches.compile:
            raise WorkerFailure(BAD_PARAMETER, "`torch.compile` settings need `engine.compile_scope`: forward")
        self._synchronise()
        return Loaded(
            version=transformers.__version__,
            effective=effective.read(self._model, self._switches, {**self._runner, **vars(self._layout)}),
            memory_bytes=self._model.get_memory_footprint(),
        )

    def generate(self, request: Generate, report: Report) -> None:
        """Generates one batch; a GPU that ran out of memory is usable again afterwards."""
        try:
            if self._runner["api"] == "generate_batch":
                # It decodes in a thread of its own, with a gradient mode of its own.
                self._generate_packed(request, report)
            else:
                with self._grad_mode():
                    self._generate_rectangle(request, report)
        except Exception as error:
            if kind_of(error) == OUT_OF_MEMORY:
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                raise WorkerFailure(OUT_OF_MEMORY, str(error)) from error
            raise

    def close(self) -> None:
        """Drops the model."""
        self._model = self._assistant = None

    def _take_runner(self, settings: Settings) -> None:
        self._runner = {
            name: settings.take(f"engine.{name}", default)
            for name, default in (
                ("api", "generate"),
                ("batch_size", None),
                ("compile_scope", "none"),
                ("grad_mode", "inference_mode"),
            )
        }
        given = {name: settings.take(f"engine.{name}") for name in _LAYOUT}
        self._layout = Layout(**{name: value for name, value in given.items() if value is not None})
        self._assistant_path = settings.take("generation.assistant_model")
        self._packing = settings.take_section("continuous_batching")
        if self._packing and self._runner["api"] != "generate_batch":
            raise WorkerFailure(BAD_PARAMETER, "`continuous_batching` settings need `engine.api`: generate_batch")

    def _load_assistant(self) -> Any:
        if self._assistant_path is None:
            return None
        found = transformers.AutoModelForCausalLM.from_pretrained(
            self._assistant_path, dtype=self._model.dtype, device_map={"": self._model.device}
        )
        return found.eval()

    def _tokens_of_text(self) -> Any:
        if self._tokenizer is None:
            if self._source.kind == loading.RANDOM:
                raise WorkerFailure(BAD_PARAMETER, "random weights have no tokenizer; send token ids")
            self._tokenizer = AutoTokenizer.from_pretrained(self._source.directory, **self._source.keywords)
        return self._tokenizer

    def _grad_mode(self) -> contextlib.AbstractContextManager[Any]:
        return torch.no_grad() if self._runner["grad_mode"] == "no_grad" else torch.inference_mode()

    def _config(self, request: Generate) -> transformers.GenerationConfig:
        config = generation.build(request.settings, self._tokens, request.max_tokens, request.exact)
        if self._runner["compile_scope"] != "auto" and config.disable_compile is None:
            # Without this a static cache compiles the decoding step by itself.
            config.disable_compile = True
        return config

    def _generate_rectangle(self, request: Generate, report: Report) -> None:
        config = self._config(request)
        rows = batches.rows_of(request, self._layout, self._tokens_of_text)
        keywords: dict[str, Any] = {}
        if config.stop_strings is not None or config.token_healing:
            keywords["tokenizer"] = self._tokens_of_text()
        if self._assistant is not None:
            keywords["assistant_model"] = self._assistant
        copies = config.num_return_sequences or 1
        stops = [] if request.exact else generation.stop_tokens(config)
        prompt_tokens = sum(len(row) for row in rows)
        clock: StepStreamer | StepCriterion
        if (config.num_beams or 1) > 1:
            clock = StepCriterion(report, prompt_tokens, len(rows))
            keywords["stopping_criteria"] = transformers.StoppingCriteriaList([clock])
        else:
            clock = StepStreamer(report, prompt_tokens, len(rows) * copies, stops)
            keywords["streamer"] = clock
        torch.manual_seed(self._seed + request.id)
        self._synchronise()
        began_ns = report.begin()
        tensors = batches.rectangle(rows, self._layout, int(self._tokens["pad_token_id"]), self._model.device)
        output = self._model.generate(**tensors, generation_config=config, **keywords)
        sequences = output if isinstance(output, torch.Tensor) else output.sequences
        generated = sequences[:, tensors["input_ids"].shape[1] :].cpu()
        self._synchronise()
        lengths = batches.output_lengths(generated, stops, int(self._tokens["pad_token_id"]), request.exact)
        texts = self._decode(request, generated, lengths, copies)
        report.end(_times(rows, lengths, copies, began_ns, clock, request.max_tokens, texts))

    def _generate_packed(self, request: Generate, report: Report) -> None:
        config = self._config(request)
        rows = batches.rows_of(request, self._layout, self._tokens_of_text)
        torch.manual_seed(self._seed + request.id)
        self._synchronise()
        report.begin()
        outputs = continuous.run(self._model, rows, config, self._packing)
        self._synchronise()
        requests = [continuous.times_of(output, request.max_tokens) for output in outputs]
        if request.return_text:
            for done, output in zip(requests, outputs):
                done.text = self._tokens_of_text().decode(output.generated_tokens, skip_special_tokens=True)
        report.end(requests)

    def _decode(self, request: Generate, generated: Any, lengths: list[int], copies: int) -> list[str | None]:
        if not request.return_text:
            return [None] * (len(lengths) // copies)
        tokenizer = self._tokens_of_text()
        return [
            tokenizer.decode(generated[at][: lengths[at]], skip_special_tokens=True)
            for at in range(0, len(lengths), copies)
        ]

    def _synchronise(self) -> None:
        if torch.cuda.is_available():
            for index in range(torch.cuda.device_count()):
                torch.cuda.synchronize(index)


def _times(
    rows: list[list[int]],
    lengths: list[int],
    copies: int,
    began_ns: int,
    clock: StepStreamer | StepCriterion,
    max_tokens: int,
    texts: list[str | None],
) -> list[RequestTimes]:
    """One entry a prompt; its copies are summed, its last token is that of its longest copy."""
    beams = isinstance(clock, StepCriterion)
    found = []
    for at, row in enumerate(rows):
        own = lengths[at * copies : (at + 1) * copies]
        last = min(max(own), len(clock.times)) - 1
        found.append(
            RequestTimes(
                input_tokens=len(row),
                output_tokens=sum(own),
                scheduled_ns=began_ns,
                # A beam's tokens stand only when the search has ended.
                first_token_ns=None if beams or not clock.times else clock.times[0],
                last_token_ns=clock.times[-1 if beams else last] if clock.times else None,
                finish="length" if max(own) >= max_tokens else "stop",
                text=texts[at],
            )
        )
    return found
