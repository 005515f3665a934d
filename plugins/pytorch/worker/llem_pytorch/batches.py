"""Prompts to padded tensors, and output rows to true token counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from llem_worker.failures import BAD_PARAMETER, WorkerFailure
from llem_worker.messages import Generate


@dataclass
class Layout:
    """How a batch becomes a rectangle."""

    padding_side: str = "left"
    padding: str = "longest"
    pad_to_multiple_of: int | None = None
    max_prompt_length: int | None = None
    truncation: bool = False
    add_special_tokens: bool = True
    apply_chat_template: bool = False


def rows_of(request: Generate, layout: Layout, tokenizer: Any) -> list[list[int]]:
    """Token ids of each prompt, without padding."""
    if request.prompts is not None:
        return request.prompts
    rows = []
    for text in request.texts or []:
        if layout.apply_chat_template:
            turn = [{"role": "user", "content": text}]
            text = tokenizer().apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            rows.append(tokenizer()(text, add_special_tokens=False)["input_ids"])
        else:
            rows.append(tokenizer()(text, add_special_tokens=layout.add_special_tokens)["input_ids"])
    if layout.truncation and layout.max_prompt_length is not None:
        rows = [row[: layout.max_prompt_length] for row in rows]
    if any(not row for row in rows):
        raise WorkerFailure(BAD_PARAMETER, "a prompt has no tokens")
    return rows


def rectangle(rows: list[list[int]], layout: Layout, pad: int, device: Any) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` on the device."""
    width = max(len(row) for row in rows)
    if layout.padding == "max_length" and layout.max_prompt_length is not None:
        width = max(width, layout.max_prompt_length)
    if layout.pad_to_multiple_of:
        width = -(-width // layout.pad_to_multiple_of) * layout.pad_to_multiple_of
    if layout.padding == "do_not_pad" and any(len(row) != len(rows[0]) for row in rows):
        raise WorkerFailure(BAD_PARAMETER, "`padding` is `do_not_pad`, but the prompts of a batch differ in length")
    left = layout.padding_side == "left"
    ids, mask = [], []
    for row in rows:
        fill = [pad] * (width - len(row))
        ids.append(fill + row if left else row + fill)
        mask.append([0] * len(fill) + [1] * len(row) if left else [1] * len(row) + [0] * len(fill))
    return {
        "input_ids": torch.tensor(ids, dtype=torch.long).to(device),
        "attention_mask": torch.tensor(mask, dtype=torch.long).to(device),
    }


def output_lengths(generated: torch.Tensor, stops: list[int], pad: int, exact: bool) -> list[int]:
    """True output tokens of each row: up to and with its first stop token, without trailing padding."""
    rows, width = generated.shape
    if exact or width == 0:
        return [width] * rows
    lengths = []
    for row in generated.tolist():
        end = next((at + 1 for at, token in enumerate(row) if token in stops), None)
        if end is None:
            end = width
            while end > 1 and row[end - 1] == pad:
                end -= 1
        lengths.append(end)
    return lengths
