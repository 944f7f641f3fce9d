"""Paints an image from a prompt and a seed; the same ones always give the same bytes.

A night sky over dark hills: a gradient, soft lights, a sun or moon, ridges. It is painted small and scaled up, so that
an image costs a few milliseconds.
"""

import random
from colorsys import hls_to_rgb
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from math import pi, sin

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
FINE = 2


@lru_cache(maxsize=64)
def paint(prompt: str, seed: int, width: int, height: int, image_format: str = "PNG") -> bytes:
    """The bytes of one image. The prompt chooses the palette, prompt and seed the scene. Sizes are in pixels."""
    dice = random.Random(sha256(f"{seed}|{prompt}".encode()).digest())
    mood = random.Random(sha256(prompt.encode()).digest()).random()
    image = _sky(dice, mood, width, height)
    image = ImageChops.screen(image, _lights(dice, mood, width, height))
    _orb(image, dice, mood)
    _ridges(image, dice, mood)
    return _encoded(image, image_format)


def blank(width: int, height: int) -> bytes:
    """The image of one colour by which the safety checker replaces an image."""
    return _encoded(Image.new("RGB", (width, height), (0, 0, 0)), "PNG")


def _sky(dice: random.Random, mood: float, width: int, height: int) -> Image.Image:
    top, middle, low = (_tone(mood + shift, light, 0.6) for shift, light in ((0, 0.07), (0.08, 0.22), (0.16, 0.5)))
    strip = Image.new("RGB", (1, 3))
    for at, colour in enumerate((top, middle, low)):
        strip.putpixel((0, at), colour)
    sky = strip.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(sky)
    for _ in range(width * height // 4000):
        x, y, light = dice.randrange(width), int(dice.random() ** 2 * height * 0.7), dice.randrange(90, 230)
        draw.point((x, y), (light, light, light))
    return sky


def _lights(dice: random.Random, mood: float, width: int, height: int) -> Image.Image:
    small = Image.new("RGB", (max(8, width // 8), max(8, height // 8)))
    draw = ImageDraw.Draw(small)
    for _ in range(5):
        colour = _tone(mood + dice.uniform(0.2, 0.6), 0.35, 0.8)
        phase, wave, base = dice.uniform(0, 2 * pi), dice.uniform(1, 3), dice.uniform(0.1, 0.5) * small.height
        for x in range(small.width):
            y = base + sin(phase + x / small.width * wave * pi) * small.height * 0.12
            draw.line((x, y, x, y + small.height * dice.uniform(0.08, 0.2)), fill=colour)
    soft = small.filter(ImageFilter.GaussianBlur(max(2, small.width // 24)))
    return soft.resize((width, height), Image.Resampling.BICUBIC)


def _orb(image: Image.Image, dice: random.Random, mood: float) -> None:
    size = max(6, int(min(image.size) * dice.uniform(0.08, 0.2)))
    x, y = int(image.width * dice.uniform(0.15, 0.85)), int(image.height * dice.uniform(0.15, 0.45))
    mask = Image.new("L", (size * FINE, size * FINE))
    ImageDraw.Draw(mask).ellipse((0, 0, size * FINE - 1, size * FINE - 1), fill=255)
    disc = Image.new("RGB", (size, size), _tone(mood + 0.12, 0.86, 0.9))
    image.paste(disc, (x - size // 2, y - size // 2), mask.resize((size, size), Image.Resampling.LANCZOS))


def _ridges(image: Image.Image, dice: random.Random, mood: float) -> None:
    draw = ImageDraw.Draw(image)
    for layer in range(4):
        base = image.height * (0.62 + layer * 0.1)
        waves = [(dice.uniform(0.5, 5), dice.uniform(0, 2 * pi), dice.uniform(0.01, 0.06)) for _ in range(4)]
        points = [
            (x, base + sum(sin(f * x / image.width * 2 * pi + p) * a * image.height for f, p, a in waves))
            for x in range(0, image.width + 4, 4)
        ]
        colour = _tone(mood + 0.05, 0.2 - layer * 0.045, 0.45)
        draw.polygon([*points, (image.width, image.height), (0, image.height)], fill=colour)


def _tone(hue: float, light: float, saturation: float) -> Colour:
    red, green, blue = hls_to_rgb(hue % 1, light, saturation)
    return int(red * 255), int(green * 255), int(blue * 255)


def _encoded(image: Image.Image, image_format: str) -> bytes:
    file = BytesIO()
    options = {"PNG": {"compress_level": 6}, "JPEG": {"quality": 90}, "WEBP": {"quality": 90}}[image_format]
    image.save(file, image_format, **options)
    return file.getvalue()
