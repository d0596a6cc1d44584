"""Options that several verbs share: one name, one unit, one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Input = Annotated[Path, typer.Argument(metavar="INPUT", help="image file (OME-TIFF, ImageJ or plain TIFF, MRC, DV)", show_default=False)]
Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="image files (OME-TIFF, ImageJ or plain TIFF, MRC, DV)", show_default=False)
]
Axes = Annotated[str | None, typer.Option("--axes", metavar="LETTERS", help="axes of the input, such as TYX [default: from the file]")]
PixelUm = Annotated[float | None, typer.Option("--pixel-um", help="pixel size in the sample, micrometres [default: from the file]")]
Na = Annotated[float | None, typer.Option("--na", help="numerical aperture of the objective [default: from the file]")]
WavelengthNm = Annotated[float | None, typer.Option("--wavelength-nm", help="emission wavelength, nanometres [default: from the file]")]
ImmersionRi = Annotated[
    float | None, typer.Option("--immersion-ri", help="refractive index of the immersion [default: the lowest usual one above the NA]")
]
PsfPixelUm = Annotated[
    float | None, typer.Option("--psf-pixel-um", help="pixel size of the PSF file, micrometres [default: from the file]")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace existing results")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress and no summary; errors and warnings only")]
