from __future__ import annotations

import pytest

from modelfiles.names import check_name


def test_a_folder_and_a_file_are_a_name() -> None:
    check_name("Stable-diffusion", "a b.safetensors")


@pytest.mark.parametrize(
    ("folder", "filename", "what"),
    [
        ("", "a.pt", "folder"),
        ("..", "a.pt", "folder"),
        ("a/b", "a.pt", "folder"),
        ("Lora", "", "name"),
        ("Lora", ".a.pt", "name"),
        ("Lora", "b/a.pt", "name"),
    ],
)
def test_what_leads_elsewhere_is_no_name(folder: str, filename: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"the {what} .* must be one name without /"):
        check_name(folder, filename)
