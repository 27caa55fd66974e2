"""Random street scenes with label maps.

A pinhole camera at the driver's position looks along a straight street. World
coordinates are in metres, on a flat ground: x to the right, y up, z ahead. Each drawing
operation paints the image and the label map together, so they always match. Classes
share colours on purpose, so that a network has to use shape and position.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from glore_mm.utils.cityscapes_labels import LABEL_IDS

_FINE = 3  # supersampling factor; odd, so that each pixel has a centre sample
_EYE, _NEAR, _FAR = 1.4, 0.2, 120.0  # camera height, near and far limit of the view
_LANE = 3.4  # lane width; the camera is in the middle of one, oncoming cars on the left

_CYCLES, _BORDERS = ('motorcycle', 'bicycle'), ('wall', 'fence')
_TRAFFIC = *['car'] * 6, 'truck', 'bus', *_CYCLES
# Scenes have one of these rare classes nearby, in turn, so that every split has all.
_FOCUS = 'train', 'truck', 'bus', *_CYCLES, *_BORDERS

_SKIES = (112, 160, 216), (150, 184, 222), (180, 188, 196), (186, 180, 190)
_GREYS = (104, 104, 106), (126, 124, 120), (148, 146, 142), (168, 164, 158)
_BRICKS = *_GREYS, (198, 182, 150), (166, 104, 84), (206, 176, 116), (120, 84, 58)
_LEAVES = (58, 88, 44), (78, 102, 46), (52, 78, 50), (110, 108, 50), (136, 108, 50)
_GRASS = (104, 126, 62), (126, 130, 74), (140, 126, 88), (92, 116, 60)
_PAINTS = (222, 222, 220), (44, 46, 50), (120, 124, 128), (166, 34, 36), (40, 70, 130)
_CLOTHES = *_PAINTS, (52, 92, 66), (120, 84, 62), (210, 170, 60)
_SKINS = (222, 182, 152), (192, 146, 118), (124, 86, 64)
_LAMPS = (40, 200, 120), (236, 160, 40), (200, 30, 36)  # green, amber, red
_WHITE, _DARK, _GLASS = (236, 234, 222), (36, 36, 38), (50, 60, 70)

_VEHICLES = {  # half width, length, bottom, belt line, roof, slant of the cabin
    'car': (0.9, 4.3, 0.25, 0.9, 1.5, 0.6),
    'truck': (1.25, 8.0, 0.55, 1.1, 3.7, 0),
    'bus': (1.25, 11.0, 0.35, 1.0, 3.1, 0),
    'train': (1.3, 24.0, 0.2, 1.2, 3.7, 0.4),
}
_WHEELS = [[(-0.58, 0.35)], [(0.58, 0.35)]]
_FIGURES = (  # class, colours, width and points (along, up) of lines and dots
    ('person', _GREYS, 0.17, [(-0.17, 0.05), (0, 0.88), (0.17, 0.05)]),
    ('person', _CLOTHES, 0.42, [(0, 1.0), (0, 1.3)]),
    ('person', _SKINS, 0.26, [(0, 1.64)]),
    ('rider', _GREYS, 0.18, [(-0.2, 0.95), (0.15, 0.75), (0, 0.3)]),
    ('rider', _CLOTHES, 0.3, [(-0.18, 1.0), (0.1, 1.3), (0.2, 1.1), (0.4, 1.05)]),
    ('rider', _CLOTHES, 0.3, [(0.12, 1.7)]),
    ('bicycle', (_DARK,), 0.7, _WHEELS),
    ('bicycle', _GREYS, 0.55, _WHEELS),
    ('bicycle', _PAINTS, 0.1, [(-0.58, 0.35), (-0.2, 0.9), (0, 0.4), (0.4, 1)]),
    ('motorcycle', (_DARK,), 0.7, _WHEELS),
    ('motorcycle', _GREYS, 0.35, _WHEELS),
    ('motorcycle', _PAINTS, 0.3, [(-0.6, 0.8), (-0.1, 0.5), (0.3, 0.85), (0.4, 1)]),
)


class _Canvas:
    """Image and label map of a scene, drawn in world coordinates."""

    def __init__(self, rng: Generator, height: int, width: int) -> None:
        self.rng, height, width = rng, height * _FINE, width * _FINE
        self.focal = 0.8 * (2 * height * width) ** 0.5
        self.centre = rng.uniform((0.45, 0.44), (0.55, 0.5)) * (width, height)
        sky = rng.choice(_SKIES)
        self.haze = 0.6 * sky + 90
        self.image = np.full((height, width, 3), sky, np.uint8)
        self.labels = np.full((height, width), LABEL_IDS['sky'], np.uint8)

    def draw(self, kind: str, tone: ArrayLike, at: ArrayLike, wide: float = 0) -> None:
        """Fill polygons of points (x, y, z), or draw lines or dots if `wide` is given.

        Args:
            kind (str): Class.
            tone (ArrayLike): RGB.
            at (ArrayLike): Points, (*, n, 3); single points (*, 1, 3) are dots.
            wide (float): Width of the lines or dots, in metres.
        """
        points = np.array(at, float)
        z = np.maximum(points[..., 2:], _NEAR)
        pixels = (points[..., :2] - (0, _EYE)) * (1, -1) * self.focal / z + self.centre
        lines = [*np.rint(pixels).astype(np.int32).reshape(-1, z.shape[-2], 2)]
        tone = self.haze + (tone - self.haze) * np.exp(-z.min() / 150)
        # at least one pixel of the label map, at most OpenCV's limit
        thick = round(np.clip(wide * self.focal / z.min(), _FINE, 32767))
        for array, value in (self.image, tone.tolist()), (self.labels, LABEL_IDS[kind]):
            if wide:
                cv2.polylines(array, lines, len(lines[0]) == 1, value, thick)
            else:
                cv2.fillPoly(array, lines, value)

    def rect(self, kind: str, tone: ArrayLike, box: ArrayLike, *grid: int) -> None:
        """Fill a rectangle, or a grid of panes on it.

        Args:
            kind (str): Class.
            tone (ArrayLike): RGB.
            box (ArrayLike): Corner coordinates x, x, y, y, z, z.
            grid (int): Number of panes, horizontally and vertically.
        """
        (start, end), (across, up) = np.reshape(box, (3, 2)).T, grid or (1, 1)
        a, b = (0.2, 0.8) if grid else (0, 1)
        u = (np.arange(across)[:, None, None] + (a, b, b, a)) / across
        v = (np.arange(up)[:, None] + (a, a, b, b)) / up
        u, v = np.broadcast_arrays(u, v)
        level = start[1] == end[1]
        shares = np.stack([u, v, v if level else u], -1)
        self.draw(kind, tone, start + shares * (end - start))

    def box(self, kind: str, tone: np.ndarray, box: Sequence[float]) -> np.ndarray:
        """Draw a box; return its face towards the street and its front face."""
        x0, x1, y0, y1, z0, z1 = box
        x = x0 if x0 + x1 > 0 else x1
        faces = np.array([(x, x, y0, y1, z0, z1), (x0, x1, y0, y1, z0, z0)])
        self.rect(kind, 0.75 * tone, faces[0])
        if y1 < _EYE:
            self.rect(kind, 0.9 * tone, (x0, x1, y1, y1, z0, z1))
        self.rect(kind, tone, faces[1])
        return faces


def _vehicle(c: _Canvas, kind: str, x: float, z: float) -> None:
    half, length, low, belt, roof, slant = _VEHICLES[kind]
    end, oncoming, paint = z + length, x < -1, c.rng.choice(_PAINTS)
    c.rect('road', _DARK, (x - half, x + half, 0, 0, z, end))  # shadow
    c.box(kind, paint, (x - half, x + half, low, belt, z, end))
    near = z + slant * (1.7 if oncoming else 0.2)
    far = end - slant * (0.2 if oncoming else 1.7)
    bottom, top = np.multiply((half, half - 0.3 * slant), -0.95 if x > 0 else 0.95)
    side = [(x + bottom, belt, near), (x + top, roof, near + slant),
            (x + top, roof, far - slant), (x + bottom, belt, far)]  # fmt: skip
    front = [*side[:2], (x - top, roof, near + slant), (x - bottom, belt, near)]
    for shade, panel in (0.75, np.array(side)), (1, np.array(front)):
        glass = 0.8 * shade * paint if kind == 'truck' else _GLASS
        c.draw(kind, shade * paint, panel)
        c.draw(kind, glass, 0.2 * panel.mean(0) + 0.8 * panel)
    lamp = 0.7, low + 0.4, 0.25, _WHITE if oncoming else _LAMPS[2]
    for u, y, wide, tone in (0.8, 0.15 + low / 2, 0.3 + low, _DARK), lamp:
        c.draw(kind, tone, [[(x - u * half, y, z)], [(x + u * half, y, z)]], wide)


def _figure(c: _Canvas, kinds: Sequence[str], x: float, z: float, yaw: float) -> None:
    for kind, colours, wide, points in _FIGURES:
        if kind in kinds:
            u, y = np.moveaxis(np.array(points), -1, 0)
            turned = np.stack([x + u * np.cos(yaw), y, z + u * np.sin(yaw)], -1)
            c.draw(kind, c.rng.choice(colours), turned, wide)


def _plant(c: _Canvas, x: float, z: float, stem: float, high: float) -> None:
    """Draw a tree, or a bush if `stem` is 0."""
    leaves, half = c.rng.choice(_LEAVES), (high - stem) / 2
    c.draw('vegetation', _DARK, [(x, 0, z), (x, high / 2, z)], 0.05 * high)
    for lift in -0.3, 0, 0.3:  # dark at the bottom, bright at the top
        u, v = np.clip(c.rng.normal(0, 0.35, (2, 6, 1)), -0.5, 0.5)
        dots = np.stack([x + u * half, stem + (1 + lift + v) * half, z + 0 * u], -1)
        c.draw('vegetation', leaves * (1 + 0.6 * lift), dots, half)


def _pole(c: _Canvas, kind: str, x: float, z: float) -> None:
    """Draw a traffic light, a traffic sign, or a street lamp (`kind` 'pole')."""
    high, arm = (6, np.copysign(2, x)) if kind == 'pole' else (2.6, 0)
    line = [(x, 0, z), (x, high, z), (x - arm, high, z)]
    c.draw('pole', _GREYS[0], line, 0.14)
    if kind == 'traffic light':
        lit = int(c.rng.integers(3))
        c.rect(kind, _DARK, (x - 0.25, x + 0.25, 2.3, 3.5, z, z))
        c.draw(kind, _LAMPS[lit], [(x, 2.5 + 0.4 * lit, z)], 0.35)
    if kind == 'traffic sign':
        corners = c.rng.choice((3, 4, 16))
        turn = np.pi / 2 + 2 * np.pi * np.arange(corners) / corners
        ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
        for tone, radius in (c.rng.choice(_PAINTS[3:]), 0.45), (_WHITE, 0.26):
            c.draw(kind, tone, (x, high, z) + radius * ring)


def _block(c: _Canvas, kind: str, x: float, z: float, high: float) -> None:
    """Draw 12 m of buildings, wall or fence, with windows, panels or bars."""
    across = {'building': 4, 'wall': 3, 'fence': 22}[kind]
    wide, tone = (10, 0.45) if kind == 'building' else (0.3, 1.25)
    paint = c.rng.choice(_GREYS if kind == 'wall' else _BRICKS)
    x0, x1 = sorted((x, x + np.copysign(wide, x)))
    for face in c.box(kind, paint, (x0, x1, 0, high, z, z + 12)):
        c.rect(kind, tone * paint, face, across, max(1, int(high / 3)))


def _side(c: _Canvas, side: int, kerb: float, border: str, crossing: float) -> None:
    """Draw a sidewalk, the objects on it and behind it, from far to near."""
    rng, strip, ends = c.rng, c.rng.choice((0, 0, 2)), (0, 0, _NEAR, _FAR)
    post, inner = side * (kerb + 0.4), kerb + strip
    front = inner + rng.uniform(2, 3.4)
    paving, grass, high = rng.choice(_GREYS), rng.choice(_GRASS), rng.uniform(1.1, 2.2)
    c.rect('terrain', grass, (side * kerb, side * 200, *ends))
    c.rect('sidewalk', paving, (side * inner, side * front, *ends))
    c.rect('sidewalk', 1.2 * paving, (side * kerb, side * (kerb + 0.2), *ends))
    for z in np.arange(rng.uniform(100, 108), -6, -12):
        garden, spots = border or rng.random() < 0.3, max(z, 6) + rng.uniform(0, 12, 3)
        if not garden or rng.random() < 0.4:
            x = side * (front + (6 if garden else 0))
            _block(c, 'building', x, z, 3.0 * rng.integers(2, 6))
        for stem in (0, 1.5, 2) if garden else ():
            x, top = side * (front + rng.uniform(1, 5)), rng.uniform(1.2, 2 + 2 * stem)
            _plant(c, x, z + rng.uniform(0, 12), stem, stem + top)
        if border:
            _block(c, border, side * front, z, high)
        for spot in spots[: rng.integers(3)]:
            x = side * rng.uniform(inner + 0.4, front - 0.3)
            _figure(c, ['person'], x, spot, rng.uniform(0, 3))
        if strip:
            _plant(c, side * (kerb + 0.8), z + 8, 2.2, 5.5)
        if rng.random() < 0.4:
            _pole(c, 'traffic sign', post, spots[2])
        if z < crossing < z + 12:
            _pole(c, 'traffic light', post, crossing)
        elif rng.random() < 0.8:
            _pole(c, 'pole', post, z + 3)


def _lane(c: _Canvas, x: float, kinds: Sequence[str], nearest: str) -> None:
    """Draw the vehicles of a lane, from far to near."""
    for z in c.rng.uniform(1, 6) + np.arange(78, 0, -12):
        kind = nearest if nearest and z < 12 else c.rng.choice(kinds)
        if kind in _CYCLES:
            _figure(c, [kind, 'rider'], x + 0.6, z, c.rng.uniform(-1.3, 1.3))
        elif nearest or c.rng.random() < 0.6:
            _vehicle(c, kind, x + c.rng.normal(0, 0.1), z)


def draw_street(
    rng: Generator, index: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a street.

    Args:
        rng (np.random.Generator): Source of everything except the rare class.
        index (int): Number of the scene; selects the rare class that is nearby.
        size (tuple[int, int]): Height and width in pixels.

    Returns:
        tuple[np.ndarray, np.ndarray]: The image, uint8 (H, W, 3) RGB, and its label
        ids, uint8 (H, W).
    """
    c, focus = _Canvas(rng, *size), _FOCUS[index % len(_FOCUS)]
    asphalt = rng.choice(_GREYS[:3]) * rng.uniform(0.7, 1)
    crossing = rng.uniform(12, 26)
    for x in range(-110, 110, 7):  # trees at the end of the street
        _plant(c, x, _FAR, -6, rng.uniform(6, 16))
    # sides first, then lanes: outer objects do not occlude inner ones
    for side, lanes in (-1, 1.5), (1, 0.5):
        parking = rng.choice((0.4, 2.4))
        kerb = lanes * _LANE + parking
        border = focus if focus in _BORDERS else rng.choice(('', '', *_BORDERS))
        c.rect('road', asphalt, (0, side * kerb, 0, 0, _NEAR, _FAR))
        _side(c, side, kerb, border, crossing)
        if parking > 1:
            _lane(c, side * (kerb - 1.1), ('car',), '')
    for z in np.arange(_NEAR, _FAR, 8):
        c.rect('road', _WHITE, (-_LANE / 2 - 0.08, -_LANE / 2 + 0.08, 0, 0, z, z + 4))
    for x in np.arange(-1.4 * _LANE, 0.5 * _LANE, 1):
        c.rect('road', _WHITE, (x, x + 0.5, 0, 0, crossing - 3.5, crossing - 1))
    moving = '' if focus in _BORDERS else focus
    oncoming = focus == 'train' or (focus in _VEHICLES and rng.random() < 0.5)
    _lane(c, -_LANE, _TRAFFIC, moving if oncoming else '')
    _lane(c, 0, _TRAFFIC, '' if oncoming else moving)
    if rng.random() < 0.4:  # bonnet of the camera's car
        height, width = c.labels.shape
        ellipse = (width // 2, height), (int(0.6 * width), height // 11), 0, 0, 360
        cv2.ellipse(c.image, *ellipse, rng.choice(_PAINTS).tolist(), -1)
        cv2.ellipse(c.labels, *ellipse, 1, -1)  # ego vehicle
    image = cv2.resize(c.image, size[::-1], interpolation=cv2.INTER_AREA)
    light = rng.uniform(0.8, 1.1) * rng.uniform(0.95, 1.05, 3)
    image = image * light + rng.normal(0, 4, image.shape)
    middle = slice(_FINE // 2, None, _FINE)
    return np.clip(image, 0, 255).astype(np.uint8), c.labels[middle, middle]
