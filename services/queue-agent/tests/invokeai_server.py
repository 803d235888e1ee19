"""A real InvokeAI as a process that a test may kill, and models that need no device."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from queue_agent.domain import RuntimeLostError
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime
from servicekit.listen import free_port

START_SECONDS = 600

# Run by the server's own Python, for it has the libraries. 768 is what makes a model one of
# Stable Diffusion 1; all other sizes are as small as they may be.
_TINY = """
import json, sys
from pathlib import Path
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

for seed, name in enumerate(sys.argv[1:]):
    torch.manual_seed(seed)
    folder = Path(name)
    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    last = len(words) - 1
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: number for number, word in enumerate(words)}))
    merges.write_text("#version: 0.2\\n")
    down, up = ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
    StableDiffusionPipeline(
        tokenizer=CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77),
        text_encoder=CLIPTextModel(CLIPTextConfig(
            hidden_size=768, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
            vocab_size=len(words), bos_token_id=last - 1, eos_token_id=last, pad_token_id=last,
        )),
        unet=UNet2DConditionModel(
            block_out_channels=(8, 8), norm_num_groups=2, layers_per_block=1,
            cross_attention_dim=768, attention_head_dim=2,
            down_block_types=down, up_block_types=up,
        ),
        vae=AutoencoderKL(
            block_out_channels=(8, 8), norm_num_groups=2,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)
"""


def write_models(command: str, *folders: Path) -> None:
    """Write a model of random weights into each folder."""
    python = Path(command).with_name("python")
    subprocess.run([python, "-c", _TINY, *folders], check=True)


@dataclass
class InvokeAiServer:
    """One server, in one folder and at one address however often it is started."""

    command: str
    root: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, a while after its start."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; `is_up` says when it is ready."""
        settings = {"INVOKEAI_HOST": "127.0.0.1", "INVOKEAI_PORT": str(self.port)}
        with (self.root / "log").open("a") as log:
            self._process = subprocess.Popen(
                [self.command, "--root", str(self.root)],
                env={**os.environ, **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it as the kernel does when memory runs out."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@contextmanager
def invokeai_server(command: str, root: Path) -> Iterator[InvokeAiServer]:
    """A server that is started, and ends with the block."""
    server = InvokeAiServer(command, root)
    server.start()
    try:
        yield server
    finally:
        server.kill()


async def is_up(runtime: InvokeAiRuntime) -> None:
    """Wait until a server that was started is ready."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                return await runtime.probe()
            except RuntimeLostError:
                await asyncio.sleep(1)


def painting(model: str, *, steps: int, seed: int = 1) -> dict[str, Any]:
    """A graph that paints with a model of Stable Diffusion 1."""
    nodes: dict[str, dict[str, Any]] = {
        "model": {
            "type": "main_model_loader",
            "model": {"name": model, "base": "sd-1", "type": "main"},
        },
        "text": {"type": "compel", "prompt": "a dog"},
        "noise": {"type": "noise", "width": 64, "height": 64, "seed": seed},
        "latents": {"type": "denoise_latents", "steps": steps, "cfg_scale": 2.0},
        "image": {"type": "l2i"},
    }
    links = (
        ("model", "clip", "text", "clip"),
        ("text", "conditioning", "latents", "positive_conditioning"),
        ("text", "conditioning", "latents", "negative_conditioning"),
        ("noise", "noise", "latents", "noise"),
        ("model", "unet", "latents", "unet"),
        ("latents", "latents", "image", "latents"),
        ("model", "vae", "image", "vae"),
    )
    return {
        "nodes": {node_id: {"id": node_id, **node} for node_id, node in nodes.items()},
        "edges": [
            {
                "source": {"node_id": source, "field": output},
                "destination": {"node_id": target, "field": given},
            }
            for source, output, target, given in links
        ],
    }
