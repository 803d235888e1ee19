"""The well-known free models that `darkroom models get` brings by name.

Each size and each sum is that of two sources, or of one that read it from the hub itself; a
model without such sources is not in this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_OPEN_RAIL: Final = "CreativeML Open RAIL-M"
_OPEN_RAIL_TEXT: Final = "https://huggingface.co/spaces/CompVis/stable-diffusion-license"
_CATALOGUES: Final = {
    # Read from the hub: lengths and `X-Linked-ETag` of its answers.
    "tachi": "github.com/tachikomared/tachi-studio .../electron/services/sd-cpp-models.ts",
    # The same for the small one.
    "lunery": "github.com/mike007jd/lunerylab-studio my-app/lib/hf-model-catalog.ts",
    # Revisions, sums and licences, as the hub publishes them.
    "trials": "github.com/employment-waiting-room/final-project evaluation/image_trials.md",
    "swarm": "github.com/mcmonkeyprojects/SwarmUI src/Text2Image/CommonModels.cs",
    "gallery": "github.com/traynor1987/Private-gallery- .../core/editor/local/ModelCatalog.kt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A file of the hub that never changes, what it is for, and on which terms."""

    name: str
    use: str
    repository: str
    revision: str
    file: str
    size_bytes: int
    sha256: str
    licence: str
    licence_url: str
    to_accept: bool = False  # its licence asks for it
    sources: tuple[str, ...]  # of its size, its sum and its licence

    @property
    def reference(self) -> str:
        """What `models get` takes for this file."""
        return f"hf:{self.repository}@{self.revision}/{self.file}"

    @property
    def page(self) -> str:
        """The page of its makers."""
        return f"https://huggingface.co/{self.repository}"


KNOWN: Final = (
    KnownModel(
        name="sd15",
        use="Stable Diffusion 1.5, 512x512: what the original's script fetched",
        repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
        revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        file="v1-5-pruned-emaonly.safetensors",
        size_bytes=4_265_146_304,
        sha256="6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa",
        licence=_OPEN_RAIL,
        licence_url=_OPEN_RAIL_TEXT,
        sources=(_CATALOGUES["tachi"], _CATALOGUES["trials"]),
    ),
    KnownModel(
        name="sd15-fp16",
        use="the same in half the size: the quickest to have",
        repository="Comfy-Org/stable-diffusion-v1-5-archive",
        revision="4fddeb7f9096623f1b77f4708feb96126a08a0cf",
        file="v1-5-pruned-emaonly-fp16.safetensors",
        size_bytes=2_132_696_762,
        sha256="e9476a13728cd75d8279f6ec8bad753a66a1957ca375a1464dc63b37db6e3916",
        licence=_OPEN_RAIL,
        licence_url=_OPEN_RAIL_TEXT,
        sources=(_CATALOGUES["swarm"], _CATALOGUES["lunery"], _CATALOGUES["gallery"]),
    ),
    KnownModel(
        name="sd-turbo",
        use="SD-Turbo, 512x512 in 1 to 4 steps: what a processor can do without a GPU",
        repository="stabilityai/sd-turbo",
        revision="b261bac6fd2cf515557d5d0707481eafa0485ec2",
        file="sd_turbo.safetensors",
        size_bytes=5_214_561_328,
        sha256="3f067a1b943cf162f2b8f8588f6cf5824bd5b4c7d1d88d87164b9ca123616549",
        licence="Stability AI Community License",
        licence_url="https://huggingface.co/stabilityai/sd-turbo/blob/main/LICENSE.md",
        to_accept=True,
        sources=(_CATALOGUES["tachi"], _CATALOGUES["trials"]),
    ),
    KnownModel(
        name="sdxl",
        use="Stable Diffusion XL 1.0 base, 1024x1024: for a GPU",
        repository="stabilityai/stable-diffusion-xl-base-1.0",
        revision="462165984030d82259a11f4367a4eed129e94a7b",
        file="sd_xl_base_1.0.safetensors",
        size_bytes=6_938_078_334,
        sha256="31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
        licence="CreativeML Open RAIL++-M",
        licence_url="https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
        sources=(_CATALOGUES["swarm"], _CATALOGUES["tachi"], _CATALOGUES["gallery"]),
    ),
)
