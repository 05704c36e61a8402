"""What holds for every test of this project."""

from __future__ import annotations

from hypothesis import settings

# A property holds or does not; how long an example takes is the benches' business.
settings.register_profile("outrider", deadline=None)
settings.load_profile("outrider")
