"""`Image`: pixels with the axes, pixel sizes and camera offset that a measurement needs; its channels and its parts."""

from zsdeconv.image.arrays import labels_of, pixels_of
from zsdeconv.image.channel import CHANNEL_OPTICS, PER_CHANNEL, channel_names, channel_of, merged_channels
from zsdeconv.image.crop import crop_ranges, cropped
from zsdeconv.image.image import KNOWN_AXES, SPATIAL_AXES, Image, ImageLike, with_numbers
from zsdeconv.image.scan import StageScan, deskewed, refuse_deskewed, refuse_other_scan, scan_of, upright_sizes, with_scan

__all__ = [
    "CHANNEL_OPTICS",
    "KNOWN_AXES",
    "PER_CHANNEL",
    "SPATIAL_AXES",
    "Image",
    "ImageLike",
    "StageScan",
    "channel_names",
    "channel_of",
    "crop_ranges",
    "cropped",
    "deskewed",
    "labels_of",
    "merged_channels",
    "pixels_of",
    "refuse_deskewed",
    "refuse_other_scan",
    "scan_of",
    "upright_sizes",
    "with_numbers",
    "with_scan",
]
