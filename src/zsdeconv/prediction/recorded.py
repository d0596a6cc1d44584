"""The frames of an image that is to be restored, examined: what they have in them, and which of them are like the others."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.acquisition.base import Acquisition
from zsdeconv.camera.bright_objects import told_of
from zsdeconv.camera.defects import Defects, beyond_law, clean, filled, known_frames, without_bright_objects
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.maps import examined
from zsdeconv.camera.odd_frames import OddFrames, find_odd_frames
from zsdeconv.errors import DataWarning


@dataclass(frozen=True)
class RecordedFrames:
    """Frames (ADU, equalised by camera maps where there are any), the `defects` of each, and which are `odd`."""

    frames: list[np.ndarray]
    defects: list[Defects]
    odd: OddFrames
    has_maps: bool

    @classmethod
    def of(cls, recorded: Sequence[np.ndarray], acquisition: Acquisition, stacklevel: int) -> RecordedFrames:
        """Examine frames; what was found becomes a warning (`DataWarning`) of the caller `stacklevel` above."""
        frames, defects = examined(recorded, acquisition.maps)
        defects = without_bright_objects(frames, defects) if acquisition.sets_bright_aside else defects
        odd = find_odd_frames([filled(*each) for each in zip(frames, defects, strict=True)])
        aside = told_of([each.bright for each in defects])
        for text in (*([aside] if aside else []), *odd.words):
            warnings.warn(text, DataWarning, stacklevel=stacklevel + 1)
        return cls(frames, defects, odd, acquisition.maps is not None)

    @property
    def ordinary(self) -> list[np.ndarray]:
        """Those that are like the others, with pixels without data filled."""
        return known_frames([self.frames[n] for n in self.odd.ordinary], [self.defects[n] for n in self.odd.ordinary])

    def cleaned(self, camera: Camera) -> tuple[list[np.ndarray], list[Defects]]:
        """All as a network sees them, by the law of a camera, with what is beyond it left out; and the defects with that."""
        defects = self.defects
        if not self.has_maps:  # their bad pixels are known
            defects = [beyond_law(frame, each, camera) for frame, each in zip(self.frames, defects, strict=True)]
        return clean(self.frames, camera, defects)[0], defects
