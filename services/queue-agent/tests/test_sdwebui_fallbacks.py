"""What an SD WebUI did otherwise than it was asked is told."""

from __future__ import annotations

from typing import Any

import pytest

from queue_agent.runtimes.sdwebui.fallbacks import fallbacks

KARRAS = {"infotexts": ["x\nSteps: 1, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7"]}


@pytest.mark.parametrize(
    ("content", "info", "expected"),
    [
        ({}, {"sampler_name": "Euler"}, []),
        ({"sampler_name": "Euler a"}, {"sampler_name": "Euler a"}, []),
        ({"sampler_name": "Euler a"}, {"sampler_name": "Euler"}, ["sampler 'Euler a'"]),
        ({"sampler_index": "Nope"}, {"sampler_name": "Euler"}, ["sampler 'Nope'"]),
        ({"sampler_name": "DPM++ 2M Karras"}, {"sampler_name": "DPM++ 2M", **KARRAS}, []),
        ({"sampler_name": "DPM++ 2M Karras"}, {"sampler_name": "DPM++ 2M Karras"}, []),
        ({"sampler_name": "DPM++ 2M alt"}, {"sampler_name": "DPM++ 2M", **KARRAS}, ["2M alt'"]),
        ({"scheduler": "karras"}, KARRAS, []),
        ({"scheduler": "Automatic"}, KARRAS, []),
        (
            {"scheduler": "Nope"},
            KARRAS,
            ["scheduler 'Nope' was asked for, and the runtime used"],
        ),
        (
            {"scheduler": "sgm_uniform"},
            {"extra_generation_params": {"Schedule type": "SGM Uniform"}},
            [],
        ),
        ({"override_settings": {"sd_vae": "a.pt"}}, {"sd_vae_name": None}, ["used 'none'"]),
        ({"override_settings": {"sd_vae": "a.pt"}}, {"sd_vae_name": "a.pt"}, []),
        ({"override_settings": {"sd_vae": "Automatic"}}, {"sd_vae_name": None}, []),
        ({"override_settings": {"sd_vae": "a.pt"}}, {}, []),
    ],
)
def test_silent_fallbacks_are_told(
    content: dict[str, Any], info: dict[str, Any], expected: list[str]
) -> None:
    told = fallbacks(content, info)

    assert len(told) == len(expected)
    assert all(part in one for part, one in zip(expected, told, strict=True))
