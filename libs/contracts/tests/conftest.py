from __future__ import annotations

from hypothesis import settings

settings.register_profile("contracts", deadline=None)  # a busy machine is not a defect
settings.load_profile("contracts")
