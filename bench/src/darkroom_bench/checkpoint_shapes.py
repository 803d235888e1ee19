"""The tensors of a Stable Diffusion 1.5 checkpoint: name and shape of each.

The names are those of the CompVis form, as in `v1-5-pruned-emaonly.safetensors`: the U-Net
under `model.diffusion_model`, the VAE under `first_stage_model`, CLIP's text model under
`cond_stage_model.transformer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Tensor = tuple[str, tuple[int, ...]]

CHANNELS: Final = 320
CONTEXT: Final = 768  # CLIP's width, and what the U-Net attends to
EMBEDDING: Final = 4 * CHANNELS
VAE_CHANNELS: Final = (128, 256, 512, 512)
LATENT: Final = 4


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a U-Net there is."""

    multiples: tuple[int, ...]  # of CHANNELS, for each level
    blocks: int  # on each level
    attending: int  # levels, from the first, that attend to the text


FULL: Final = Size(multiples=(1, 2, 4, 4), blocks=2, attending=3)
# What ComfyUI takes for a Stable Diffusion 1.5, and computes a picture with in a moment.
TINY: Final = Size(multiples=(1,), blocks=1, attending=1)


def tensors(size: Size) -> Iterator[Tensor]:
    """Each tensor of a checkpoint."""
    for name, shape in _unet(size):
        yield f"model.diffusion_model.{name}", shape
    for name, shape in _vae():
        yield f"first_stage_model.{name}", shape
    for name, shape in _clip():
        yield f"cond_stage_model.transformer.text_model.{name}", shape


def _layer(name: str, *shape: int) -> Iterator[Tensor]:
    """A weight and its bias."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _convolution(name: str, inner: int, outer: int, width: int = 3) -> Iterator[Tensor]:
    yield from _layer(name, outer, inner, width, width)


def _unet(size: Size) -> Iterator[Tensor]:
    yield from _layer("time_embed.0", EMBEDDING, CHANNELS)
    yield from _layer("time_embed.2", EMBEDDING, EMBEDDING)
    yield from _convolution("input_blocks.0.0", LATENT, CHANNELS)
    widths = [CHANNELS]  # of what each input block hands over
    for level, multiple in enumerate(size.multiples):
        width = multiple * CHANNELS
        for _ in range(size.blocks):
            block = f"input_blocks.{len(widths)}"
            yield from _residual(f"{block}.0", widths[-1], width)
            if level < size.attending:
                yield from _transformer(f"{block}.1", width)
            widths.append(width)
        if level < len(size.multiples) - 1:
            yield from _convolution(f"input_blocks.{len(widths)}.0.op", width, width)
            widths.append(width)
    yield from _residual("middle_block.0", widths[-1], widths[-1])
    yield from _transformer("middle_block.1", widths[-1])
    yield from _residual("middle_block.2", widths[-1], widths[-1])
    yield from _output_blocks(size, widths)
    yield from _layer("out.0", CHANNELS)
    yield from _convolution("out.2", CHANNELS, LATENT)


def _output_blocks(size: Size, widths: list[int]) -> Iterator[Tensor]:
    inner, number = widths[-1], 0
    for level, multiple in reversed(list(enumerate(size.multiples))):
        width = multiple * CHANNELS
        for index in range(size.blocks + 1):
            block = f"output_blocks.{number}"
            yield from _residual(f"{block}.0", inner + widths.pop(), width)
            attends = level < size.attending
            if attends:
                yield from _transformer(f"{block}.1", width)
            if level and index == size.blocks:
                yield from _convolution(f"{block}.{1 + attends}.conv", width, width)
            inner, number = width, number + 1


def _residual(name: str, inner: int, outer: int) -> Iterator[Tensor]:
    yield from _layer(f"{name}.in_layers.0", inner)
    yield from _convolution(f"{name}.in_layers.2", inner, outer)
    yield from _layer(f"{name}.emb_layers.1", outer, EMBEDDING)
    yield from _layer(f"{name}.out_layers.0", outer)
    yield from _convolution(f"{name}.out_layers.3", outer, outer)
    if inner != outer:
        yield from _convolution(f"{name}.skip_connection", inner, outer, 1)


def _transformer(name: str, width: int) -> Iterator[Tensor]:
    yield from _layer(f"{name}.norm", width)
    yield from _convolution(f"{name}.proj_in", width, width, 1)
    block = f"{name}.transformer_blocks.0"
    for attention, context in (("attn1", width), ("attn2", CONTEXT)):
        yield f"{block}.{attention}.to_q.weight", (width, width)
        yield f"{block}.{attention}.to_k.weight", (width, context)
        yield f"{block}.{attention}.to_v.weight", (width, context)
        yield from _layer(f"{block}.{attention}.to_out.0", width, width)
    yield from _layer(f"{block}.ff.net.0.proj", 8 * width, width)
    yield from _layer(f"{block}.ff.net.2", width, 4 * width)
    for norm in ("norm1", "norm2", "norm3"):
        yield from _layer(f"{block}.{norm}", width)
    yield from _convolution(f"{name}.proj_out", width, width, 1)


def _vae() -> Iterator[Tensor]:
    first, last = VAE_CHANNELS[0], VAE_CHANNELS[-1]
    yield from _convolution("encoder.conv_in", 3, first)
    inner = first
    for level, width in enumerate(VAE_CHANNELS):
        yield from _vae_blocks(f"encoder.down.{level}", inner, width, blocks=2)
        if level < len(VAE_CHANNELS) - 1:
            yield from _convolution(f"encoder.down.{level}.downsample.conv", width, width)
        inner = width
    yield from _vae_middle("encoder")
    yield from _layer("encoder.norm_out", last)
    yield from _convolution("encoder.conv_out", last, 2 * LATENT)
    yield from _convolution("quant_conv", 2 * LATENT, 2 * LATENT, 1)
    yield from _convolution("post_quant_conv", LATENT, LATENT, 1)
    yield from _convolution("decoder.conv_in", LATENT, last)
    yield from _vae_middle("decoder")
    for level, width in reversed(list(enumerate(VAE_CHANNELS))):
        yield from _vae_blocks(f"decoder.up.{level}", inner, width, blocks=3)
        if level:
            yield from _convolution(f"decoder.up.{level}.upsample.conv", width, width)
        inner = width
    yield from _layer("decoder.norm_out", first)
    yield from _convolution("decoder.conv_out", first, 3)


def _vae_blocks(name: str, inner: int, width: int, *, blocks: int) -> Iterator[Tensor]:
    for index in range(blocks):
        yield from _vae_residual(f"{name}.block.{index}", inner, width)
        inner = width


def _vae_residual(name: str, inner: int, outer: int) -> Iterator[Tensor]:
    yield from _layer(f"{name}.norm1", inner)
    yield from _convolution(f"{name}.conv1", inner, outer)
    yield from _layer(f"{name}.norm2", outer)
    yield from _convolution(f"{name}.conv2", outer, outer)
    if inner != outer:
        yield from _convolution(f"{name}.nin_shortcut", inner, outer, 1)


def _vae_middle(name: str) -> Iterator[Tensor]:
    width = VAE_CHANNELS[-1]
    yield from _vae_residual(f"{name}.mid.block_1", width, width)
    yield from _layer(f"{name}.mid.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from _convolution(f"{name}.mid.attn_1.{part}", width, width, 1)
    yield from _vae_residual(f"{name}.mid.block_2", width, width)


def _clip() -> Iterator[Tensor]:
    yield "embeddings.token_embedding.weight", (49408, CONTEXT)
    yield "embeddings.position_embedding.weight", (77, CONTEXT)
    for number in range(12):
        layer = f"encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _layer(f"{layer}.self_attn.{part}", CONTEXT, CONTEXT)
        yield from _layer(f"{layer}.layer_norm1", CONTEXT)
        yield from _layer(f"{layer}.mlp.fc1", 4 * CONTEXT, CONTEXT)
        yield from _layer(f"{layer}.mlp.fc2", CONTEXT, 4 * CONTEXT)
        yield from _layer(f"{layer}.layer_norm2", CONTEXT)
    yield from _layer("final_layer_norm", CONTEXT)
