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
image.save(folder / "lossless.webp", lossless=True)
image.save(folder / "lossy.webp", quality=90, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
image.save(folder / "animated.webp", save_all=True, append_images=[image.rotate(180)], lossless=True)
image.quantize(4).save(folder / "palette.gif")
image.save(folder / "lzw.tif", compression="tiff_lzw")
image.save(folder / "turned.tif", compression="tiff_deflate", tiffinfo={274: 6})
image.convert("1").save(folder / "fax.tif", compression="group4")
twelve_bits = Image.new("I;16", (24, 16))
for y in range(16):
    for x in range(24):
        twelve_bits.putpixel((x, y), (0 if x < 12 else 1024) if y < 8 else (2048 if x < 12 else 4095))
twelve_bits.save(folder / "twelve_bits.tif")
twelve_bits.save(folder / "twelve_bits.png")
