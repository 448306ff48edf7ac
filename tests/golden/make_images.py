"""Writes tests/golden/images: small images of kinds that the tests cannot make themselves. Needs Pillow.

All show the same 24 x 16 image: red left half, blue right half, above; green and white below.
"""
import pathlib
from PIL import Image

folder = pathlib.Path(__file__).parent / "images"
image = Image.new("RGB", (24, 16))
for y in range(16):
    for x in range(24):
        above, left = y < 8, x < 12
        image.putpixel((x, y), ((255, 0, 0) if left else (0, 0, 255)) if above else ((0, 255, 0) if left else (255, 255, 255)))
image.save(folder / "progressive.jpg", quality=90, progressive=True, subsampling=0)
image.convert("L").save(folder / "grey.jpg", quality=90)
image.convert("CMYK").save(folder / "cmyk.jpg", quality=90)
image.save(folder / "restarts.jpg", quality=90, subsampling=0, restart_marker_blocks=1)
image.quantize(4).save(folder / "palette.bmp")
