"""Whether the frames of a recording are alike, and what was done about those that are not."""

from __future__ import annotations

from dataclasses import dataclass

from zsdeconv.camera.odd_frames import OddFrames
from zsdeconv.findings import Finding
from zsdeconv.report.section import Section

KEY = "recording"
TITLE = "Recording"
QUESTION = "Do all frames of the recording hold data, under the same light?"
NUMBERS = ("frames", "frames_without_light", "frames_of_other_brightness", "repeated_frames")


@dataclass(frozen=True)
class Recorded:
    """The frames of a recording that are not like the others, and further `findings` of its acquisition."""

    odd: OddFrames
    findings: tuple[Finding, ...] = ()


def measure(odd: OddFrames, findings: tuple[Finding, ...] = ()) -> Recorded:
    """What was found in the frames of a recording."""
    return Recorded(odd, findings)


def section(result: Recorded) -> Section:
    """The odd frames by number, from 1 on.

    >>> section(measure(OddFrames(9, dark=(4,)))).findings[0].message
    'frame 5 of 9 holds no light: it is left out, and given back without light.'
    """
    odd = result.odd
    lists = (odd.dark, odd.unlike, odd.repeated)
    values: tuple[int | list[int], ...] = (odd.count, *([n + 1 for n in each] for each in lists))
    numbers: dict[str, int | list[int]] = dict(zip(NUMBERS, values, strict=True))
    found = [Finding("warn", "odd_frames", float(len(odd.dark) + len(odd.unlike) + len(odd.repeated)), 0.0, f"{odd.text}.")] if odd else []
    alike = [Finding("ok", "odd_frames", 0.0, 0.0, f"All {odd.count} frames hold data, under similar light.")] if odd.count > 1 else []
    return Section(KEY, TITLE, QUESTION, [*(found or alike), *result.findings], numbers, [])
