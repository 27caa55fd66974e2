"""Street scenes drawn by chance, each with its label map.

Every image is a street seen from the driver's seat through a pinhole camera. Things
stand in metres on a flat world (x to the right, y up, z ahead), and each stroke paints
the image and the label map together, so the two cannot drift apart. Colours are shared
between classes on purpose: shape, place and context tell them apart.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from glore_mm.utils.cityscapes_labels import LABEL_IDS

_T = TypeVar('_T')
_Colour: TypeAlias = Sequence[float] | np.ndarray
_Pose: TypeAlias = tuple[float, float, float]  # x, z and yaw
_Details: TypeAlias = Iterable[tuple[str, _Colour, np.ndarray]]  # face, colour, spans
_Side: TypeAlias = tuple[float, float, str]  # its strip, walk and district

_IDS = LABEL_IDS | {'ego vehicle': 1, 'static': 4}  # the void ones that are drawn
_SUPERSAMPLE = 3  # odd, so that a pixel of the result has a centre sample
_EYE = 1.3  # height of the camera in metres
_VIEW = np.array([0, _EYE])
_TALL = 5  # from this height on a thing does not darken the ground right below it
_NEAR, _FAR = 1.0, 130.0  # what is closer is cut off, where the street ends
_LANE = 3.4  # the camera drives in the middle of one, the other one comes towards it

# Image i shows the i-th of these near by, so that no split lacks a rare class.
_FOCUS = ('train', 'truck', 'bus', 'motorcycle', 'bicycle', 'wall', 'fence')
_LARGE = _FOCUS[:3]


def _rgb(codes: str) -> list[tuple[int, ...]]:
    return [tuple(bytes.fromhex(code)) for code in codes.split()]


def _points(text: str) -> np.ndarray:
    return np.array([word.split(',') for word in text.split()], float)


_GREYS = _rgb('707072 848280 969490 aaa6a0')
_FACADES = _GREYS + _rgb('c4b698 d6ccba a66a54 ba8e68 ccb074 9ea8ac ce9884')
_ROOFS = _rgb('783e30 8e503c 545052 605c5a')
_LEAVES = _rgb('3a5c28 4a6830 32502e 606e2c 8c702e')
_GRASS = _rgb('68803e 80844c 8c7e58 56743a')
_PAINTS = _rgb('e0e0de 282a2e 62666c a4a8ac a82022 244286 deb22c 2c6046')
_CLOTHES = _PAINTS + _rgb('3c466e 78543e 56345c ca6432')
_CHOICES = {
    'paint': _PAINTS,
    'other': _PAINTS,
    'coat': _CLOTHES,
    'trousers': _rgb('2c3042 18181a 707072 848280'),
    'skin': _rgb('e2b89c c49678 805840'),
    'hair': _rgb('281e18 705436'),
}
_FIXED = dict(
    white=(238, 238, 234),
    black=(24, 24, 26),
    red=(196, 26, 34),
    blue=(30, 84, 170),
    amber=(236, 150, 34),
    lamp=(250, 248, 228),
    glass=(48, 58, 68),
    tyre=(28, 28, 30),
    hub=(150, 152, 154),
    steel=(112, 116, 116),
    dark=(52, 52, 54),
)
# sky overhead, sky at the horizon, light, share of the sun, visibility in m, clouds
_WEATHER = (
    ((84, 138, 206), (190, 212, 232), (1.06, 1.03, 0.97), 0.6, 400, 0.2),
    ((110, 150, 200), (205, 216, 226), (1.0, 0.99, 0.97), 0.4, 300, 0.6),
    ((172, 177, 183), (206, 209, 211), (0.9, 0.91, 0.93), 0.0, 180, 1.0),
    ((188, 190, 190), (212, 212, 210), (0.95, 0.95, 0.94), 0.0, 90, 0.3),
    ((128, 140, 178), (242, 200, 156), (1.04, 0.87, 0.75), 0.5, 200, 0.5),
)

_TURN = np.linspace(0, 2 * np.pi, 25)
_OUTLINES = {
    'disc': np.stack([np.cos(_TURN), np.sin(_TURN)], 1),
    'up': _points('-1,-.75  1,-.75  0,1'),
    'down': _points('-1,.75  1,.75  0,-1'),
    'square': _points('-.85,-.85  .85,-.85  .85,.85  -.85,.85'),
    'diamond': _points('-1,0  0,-1  1,0  0,1'),
    'bar': _points('-.7,-.2  .7,-.2  .7,.2  -.7,.2'),
    'stem': _points('-.2,-.7  .2,-.7  .2,.7  -.2,.7'),
    'arrow': _points('.2,-1  .2,0  .6,0  0,1  -.6,0  -.2,0  -.2,-1'),
}

# Models are drawn line by line in their own frame: metres ahead, to the right and up.
#   as LABEL                             what the following lines are
#   line COLOUR THICKNESS POINT...       a stroke through points
#   rim COLOUR INNER RADIUS POINT...     upright wheels; `none` paints the label only
#   plate COLOUR OUTLINE SIZE POINT [FACE]       a flat shape that looks at the camera
#   box COLOUR REAR FRONT HALF UP  REAR FRONT HALF UP    between a lower and upper level
#   top COLOUR ...                       a box that stands on the one before
#   on FACE COLOUR U0 V0 U1 V1 [N], ...  patches on it, in N copies; u from the rear
#   wheels RADIUS HALF AHEAD...          the wheels of what stands on four or more
# Boxes go from the rear to the front. A colour may be dimmed, as in `coat*.8`.
_SITTING = """
    as rider
    line trousers*.8 .17  -.2,-.1,.95  .2,-.14,.75  .02,-.14,.3
    line coat*.8     .12  .12,-.22,1.42  .25,-.28,1.2  .45,-.24,1.08
    line trousers    .17  -.2,.1,.95  .2,.14,.75  .02,.14,.3
    line coat        .4   -.2,0,1  .1,0,1.4
    line coat*.9     .12  .12,.22,1.42  .25,.28,1.2  .45,.24,1.08
    plate other disc .16 .2,0,1.72
    plate skin  disc .1  .24,0,1.65 front
"""
_BICYCLE = """
    as bicycle
    rim tyre none .34  -.53,0,.34  .53,0,.34
    line hub .01  -.53,0,.02  -.53,0,.66
    line hub .01  .53,0,.02  .53,0,.66
    line paint .06  -.53,0,.34  -.08,0,.32  .36,0,.92  -.22,0,.88  -.53,0,.34
    line paint .06  -.08,0,.32  -.22,0,.88
    line paint .06  .36,0,.92  .53,0,.34
    line black .08  -.36,0,.93  -.1,0,.93
    line black .08  .4,-.28,1  .4,.28,1
"""
_MOTORCYCLE = """
    as motorcycle
    rim tyre steel .3  -.68,0,.33  .68,0,.33
    line steel .12  .66,0,.35  .36,0,1
    line dark  .42  -.25,0,.48  .2,0,.48
    line hub   .12  -.7,.15,.4  .05,.15,.34
    line paint .34  -.05,0,.82  .32,0,.86
    line black .2   -.75,0,.86  -.1,0,.8
    line black .09  .36,-.36,1.06  .36,.36,1.06
    plate red  disc .12 -.82,0,.72 rear
    plate lamp disc .14  .5,0,.9 front
"""
_CAR = """
    as car
    wheels .33 .9 -1.3 1.35
    box paint  -{0} {0} .9 .26  -{0} {0} .86 {1}
    on side dark 0 0 1 .12, dark .49 .1 .5 1
    on rear dark 0 0 1 .24, red .04 .55 .96 .85, paint .2 .5 .8 .9
    on rear white .36 .3 .64 .46
    on front dark 0 0 1 .24, lamp .04 .55 .96 .85, black .2 .5 .8 .85
    on front white .36 .3 .64 .46
    top paint  {3} {4} .84 {1}  {5} {6} .7 {2}
    on side glass .1 .12 .93 .88 2
    on rear glass .08 .15 .92 .88
    on front glass .06 .06 .94 .92
"""
_MODELS = {
    # half the length, height of belt line and roof, cabin at the belt and at the roof
    'hatchback': _CAR.format(2, 0.92, 1.5, -1.96, 0.96, -1.5, 0),
    'saloon': _CAR.format(2.3, 0.9, 1.44, -1.84, 1.1, -1.1, 0.2),
    'estate': _CAR.format(2.25, 1, 1.65, -2.2, 1.17, -1.9, 0.36),
    'van': _CAR.format(2.4, 1.05, 2, -2.4, 1.8, -2.3, 0.95),
    'bus': """
        as bus
        wheels .5 1.26 -2.9 3.1
        box paint  -5.7 5.7 1.27 .34  -5.7 5.6 1.22 3.15
        on side other 0 .22 1 .34, glass .08 .42 .92 .84 7
        on side dark .44 .05 .52 .84, dark .9 .05 .97 .84
        on rear glass .12 .5 .88 .82, dark .25 .14 .75 .38, red .1 .12 .9 .2 2
        on front glass .05 .36 .95 .82, amber .18 .86 .82 .96, lamp .3 .12 .7 .2 2
    """,
    'truck': """
        as truck
        wheels .5 1.2 -3 -1.9 2.9
        box other  -4 1.7 1.27 1  -4 1.7 1.27 3.7
        on side other*.8 0 0 .1 1 8
        on rear dark .47 0 .53 1
        box dark  -4 2 1.1 .5  -4 2 1.1 1
        on rear red .1 .4 .9 .9 2
        box paint  2 4 1.2 .4  2 3.8 1.15 2.9
        on side glass .35 .52 .9 .86
        on front glass .08 .52 .92 .86, dark .2 .2 .8 .44, lamp .2 .1 .6 .2 2
    """,
    'train': """
        as train
        box paint  -10 -.2 1.22 .15  -9.2 -.2 1.15 3.4
        on side other 0 .16 1 .34, dark 0 0 1 .16, glass .1 .42 .9 .82 6
        on rear other 0 .16 1 .34, dark 0 0 1 .16, glass .1 .36 .9 .86
        on rear red .3 .2 .7 .28 2
        box dark  -.2 .2 1.05 .4  -.2 .2 1.05 3.2
        box paint  .2 10 1.22 .15  .2 9.2 1.15 3.4
        on side other 0 .16 1 .34, dark 0 0 1 .16, glass .1 .42 .9 .82 6
        on front other 0 .16 1 .34, dark 0 0 1 .16, glass .1 .36 .9 .86
        on front amber .3 .89 .7 .97, lamp .3 .2 .7 .28 2
        line dark .1  2,0,3.4  3.4,0,4.1  2.2,0,4.9
        line dark .1  2.2,-.8,4.9  2.2,.8,4.9
    """,
    'parked bicycle': _BICYCLE,
    'parked motorcycle': _MOTORCYCLE,
    'bicycle': _BICYCLE + _SITTING,
    'motorcycle': _MOTORCYCLE + _SITTING,
    'walker': """
        as person
        line trousers*.8 .17  0,-.09,.92  -.04,-.1,.5  -.26,-.1,.05
        line coat*.8     .12  0,-.23,1.4  .1,-.27,1.15  .18,-.28,.9
        line trousers    .17  0,.09,.92  .16,.1,.5  .26,.1,.05
        line coat        .4   0,0,.95  0,0,1.36
        line coat*.9     .12  0,.23,1.4  -.1,.27,1.15  -.08,.28,.9
        plate hair disc .135 .02,0,1.68
        plate skin disc .11  .06,0,1.63 front
    """,
    'street lamp': """
        as pole
        line steel .16  0,0,0  0,0,7  0,-1.6,7.4
        line steel .26  0,-1.6,7.4  0,-2.2,7.4
    """,
    'traffic light': """
        as pole
        line steel .15  0,0,0  0,0,3.6
        as traffic light
        line dark .52  0,0,2.6  0,0,3.6
        plate stop disc .17  0,0,3.5
        plate wait disc .17  0,0,3.1
        plate go   disc .17  0,0,2.7
    """,
    'bin': """
        as static
        box dark -.25 .25 .25 .1  -.25 .25 .28 1
        line black .12  0,-.3,1  0,.3,1
    """,
}
_CARS = tuple(_MODELS)[:4]
_SIGNS = (
    'red up .46, white up .28, black stem .16',
    'red down .46, white down .28',
    'red disc .46, white disc .33, black stem .23',
    'red disc .46, white bar .44',
    'blue disc .46, white arrow .33',
    'blue square .46, white arrow .3',
    'white diamond .5, amber diamond .36',
)
_SIGN = 'as pole \n line steel .1 0,0,0 0,0,2.5 \n as traffic sign \n plate '
_MODELS |= {
    layers: _SIGN + layers.replace(',', ' 0,0,2.5 \n plate ') + ' 0,0,2.5'
    for layers in _SIGNS
}


def _spans(u0: ArrayLike, v0: ArrayLike, u1: ArrayLike, v1: ArrayLike) -> np.ndarray:
    """Rectangles on a face in shares of its width and height, as (n, 4)."""
    return np.stack(np.broadcast_arrays(u0, v0, u1, v1), -1).reshape(-1, 4)


def _parse(text: str) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Return the parts of a model and the corners of the space that it fills."""
    parts: list[Any] = []
    reach, label = [], None
    for kind, *words in filter(None, map(str.split, text.splitlines())):
        if kind == 'as':
            label = ' '.join(words)
        elif kind == 'on':
            for patch in ' '.join(words[1:]).split(','):
                colour, *numbers = patch.split()
                u0, v0, u1, v1, copies = [*map(float, numbers), 1][:5]
                k = np.arange(copies)
                spans = _spans((k + u0) / copies, v0, (k + u1) / copies, v1)
                parts[-1][2][-1][2].append((words[0], colour, spans))
        elif kind in ('box', 'top'):
            levels = np.array(words[1:], float).reshape(2, 4)
            reach += [(rear, -half, up) for rear, _, half, up in levels]
            reach += [(front, half, up) for _, front, half, up in levels]
            stack = [] if kind == 'box' else parts.pop()[2]
            parts.append(('box', label, [*stack, (words[0], levels, [])]))
        elif kind == 'wheels':
            parts.append((kind, label, np.array(words, float)))
        else:
            points = _points(' '.join(word for word in words if ',' in word))
            parts.append((kind, label, points, *(w for w in words if ',' not in w)))
            reach += points.tolist()
    return parts, np.min(reach, 0), np.max(reach, 0)


_PARSED = {name: _parse(text) for name, text in _MODELS.items()}


def _pick(rng: Generator, options: Sequence[_T]) -> _T:
    return options[int(rng.integers(len(options)))]


def _noise(rng: Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise of mean 0, about 1 strong, with ``cells`` bumps along the width."""
    total = np.zeros((height, width), np.float32)
    for octave in range(3):
        across = cells * 2**octave
        shape = across * height // width + 2, across + 2
        grid = rng.standard_normal(shape, np.float32) / 2**octave
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _clip(points: np.ndarray) -> np.ndarray:
    """Cut a polygon at the near plane."""
    depth = points[:, 2] - _NEAR
    if depth.min() >= 0:
        return points
    kept = []
    ends = np.roll(points, -1, 0), np.roll(depth, -1)
    for a, da, b, db in zip(points, depth, *ends, strict=True):
        if da >= 0:
            kept.append(a)
        if da * db < 0:
            kept.append(a + (b - a) * da / (da - db))
    return np.reshape(kept, (-1, 3))


class _Scene:
    """Image and label map of one street, painted together in world coordinates."""

    def __init__(self, rng: Generator, height: int, width: int) -> None:
        self.rng = rng
        height, width = height * _SUPERSAMPLE, width * _SUPERSAMPLE
        self.image = np.zeros((height, width, 3), np.uint8)
        self.label = np.full((height, width), _IDS['sky'], np.uint8)
        self.focal = 0.8 * width
        self.scale = np.array([self.focal, -self.focal])
        shares = rng.uniform((0.44, 0.44), (0.56, 0.5))
        self.vanishing = shares * (width, height)
        weather = _pick(rng, _WEATHER)
        self.zenith, self.haze, self.tint = np.array(weather[:3], np.float32)
        self.sun, self.visibility, self.clouds = weather[3:]
        to_sun = np.array([_pick(rng, (-1, 1)) * rng.uniform(0.3, 1), 0.8, -0.6])
        self.to_sun = to_sun / np.linalg.norm(to_sun)
        self.curbs: dict[int, float] = {}  # side (-1 or 1) to its distance
        self.crossing = _FAR, _FAR  # near and far edge of a side street
        self.things: list[tuple[float, float, float, Callable[[], None]]] = []
        self.shadows: list[tuple[Any, float]] = []  # their corners and height

    def add(
        self, band: int, depth: float, paint: Callable[..., None], **spec: Any
    ) -> None:
        """Queue a thing: of two on one side of the street the outer band is behind."""
        behind = sum(depth > edge for edge in self.crossing)
        self.things.append((-behind, -band, -depth, partial(paint, self, **spec)))

    def put(
        self,
        name: str,
        x: float,
        z: float,
        yaw: float = 0.0,
        size: float = 1.0,
        **colours: _Colour,
    ) -> None:
        """Queue a model that heads ahead, or turned to the right by yaw."""
        parts, low, high = _PARSED[name]
        pose, tall = (x, z, yaw), high[2] * size
        (r, w), (f, v) = low[:2] * size, high[:2] * size
        corners = _world(pose, [(r, w, 0), (f, w, 0), (f, v, 0), (r, v, 0)])[:, [0, 2]]
        if tall < _TALL:
            self.shadows.append((corners, tall))
        own = {key: _pick(self.rng, options) for key, options in _CHOICES.items()}
        tones = {**_FIXED, **own, **colours, 'none': None}
        # Bands go from the own lane over the oncoming one and parked cars outwards.
        outwards, parked = (1, _LANE / 2) if x > 0 else (-1, 1.5 * _LANE)
        edges = _LANE / 2, parked, self.curbs[outwards]
        band, near = sum(abs(x) > edge for edge in edges), corners[:, 1].min()
        look = {'size': size, 'colours': tones}
        self.add(band, near, _paint_model, parts=parts, pose=pose, **look)

    def paint_things(self) -> None:
        for *_, paint in sorted(self.things, key=lambda thing: thing[:3]):
            paint()

    def project(self, points: np.ndarray) -> np.ndarray:
        return self.vanishing + (points[..., :2] - _VIEW) * (
            self.scale / points[..., 2:]
        )

    def lit(
        self, colour: _Colour, plane: Iterable[Sequence[float]], depth: float
    ) -> list[float]:
        """Colour of a plane, given by points on it, in this light and weather."""
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = plane
        bx, by, bz, cx, cy, cz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        normal = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        length = sum(n * n for n in normal) ** 0.5 + 1e-9
        slope = sum(n * s for n, s in zip(normal, self.to_sun, strict=True)) / length
        if normal[0] * ax + normal[1] * (ay - _EYE) + normal[2] * az > 0:
            slope = -slope  # the side that the camera sees
        light = self.tint * (1 + self.sun * (0.75 * max(slope, 0) - 0.45))
        clear = np.exp(-depth / self.visibility)
        colour = np.minimum(colour * light, 255)
        return (clear * colour + (1 - clear) * self.haze).tolist()

    def fill(
        self, outlines: ArrayLike, colour: Sequence[float] | None, label: str
    ) -> None:
        """Fill outlines in pixels; without a colour only the label is set."""
        outlines = [*np.rint(np.asarray(outlines) * 16).astype(np.int32)]
        if colour is not None:
            cv2.fillPoly(self.image, outlines, colour, shift=4)
        cv2.fillPoly(self.label, outlines, _IDS[label], shift=4)

    def polygon(self, points: ArrayLike, colour: _Colour | None, label: str) -> None:
        points = _clip(np.asarray(points, float))
        if len(points) > 2:
            if colour is not None:
                colour = self.lit(colour, points[:3].tolist(), points[:, 2].mean())
            self.fill([self.project(points)], colour, label)

    def quad(
        self,
        corners: ArrayLike,
        colour: _Colour | None,
        label: str,
        details: Iterable[tuple[np.ndarray, _Colour]] = (),
    ) -> None:
        """Fill a quad, then details: (n, 4) spans u0 v0 u1 v1 on it and their colour.

        The corners go around from the one at u = v = 0, first along u.
        """
        self.polygon(corners, colour, label)
        a, b, c, d = corners = np.asarray(corners, float)
        for spans, colour in details:
            u, v = spans[:, [0, 2, 2, 0], None], spans[:, [1, 1, 3, 3], None]
            patches = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)
            patches = patches[patches[..., 2].min(1) > _NEAR]
            if len(patches):
                colour = self.lit(colour, corners[:3].tolist(), patches[..., 2].mean())
                self.fill(self.project(patches), colour, label)

    def ground(
        self,
        x0: float,
        x1: float,
        z0: float,
        z1: float,
        colour: _Colour,
        label: str,
    ) -> None:
        """Fill a rectangle of the ground, yet without the haze in front of it."""
        z0 = max(z0, _NEAR)
        points = np.array([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], float)
        if z1 > z0:
            colour = self.lit(colour, points[:3].tolist(), 0)
            self.fill([self.project(points)], colour, label)

    def stroke(
        self, points: np.ndarray, thickness: float, colour: _Colour, label: str
    ) -> None:
        """Draw a line through points, all beyond the near plane."""
        x, y, z = points.mean(0).tolist()
        colour = self.lit(colour, ((x, y, z), (x + 1, y, z), (x, y + 1, z)), z)
        pixels = max(1, round(thickness * self.focal / z))
        line = [np.rint(self.project(points) * 16).astype(np.int32)]
        cv2.polylines(self.image, line, False, colour, pixels, shift=4)
        cv2.polylines(self.label, line, False, _IDS[label], pixels, shift=4)


# --- models ---------------------------------------------------------------------------


def _world(pose: _Pose, points: ArrayLike) -> np.ndarray:
    """Turn points (ahead, right, up) of a thing at pose (x, z, yaw) into the world."""
    x, z, yaw = pose
    sin, cos = np.sin(yaw), np.cos(yaw)
    return np.asarray(points) @ ((sin, 0, cos), (cos, 0, -sin), (0, 1, 0)) + (x, 0, z)


def _eye(pose: _Pose) -> tuple[float, float]:
    """Where the camera is in the frame of a thing: metres ahead and to the right."""
    x, z, yaw = pose
    sin, cos = np.sin(yaw), np.cos(yaw)
    return -x * sin - z * cos, -x * cos + z * sin


def _wheel(radius: float, ahead: float, right: float, up: float) -> np.ndarray:
    """Points of an upright circle that rolls ahead."""
    x, y = radius * _OUTLINES['disc'].T
    return np.stack([x + ahead, np.full_like(x, right), y + up], 1)


def _paint_box(
    scene: _Scene,
    pose: _Pose,
    levels: Any,
    colour: _Colour | None,
    label: str,
    details: _Details = (),
) -> None:
    """Paint what is seen of a box, with (face, colour, spans) as details on it.

    A level is its rear end, front end, half width and height.
    """
    ahead, right = _eye(pose)
    (rear, front, half, _), (*_, height) = levels
    (a, b, c, d), (e, f, g, h) = (
        ((r, -w, up), (r, w, up), (f, -w, up), (f, w, up)) for r, f, w, up in levels
    )
    faces = (
        ('top', height < _EYE, (e, f, h, g)),
        ('rear', ahead < rear, (a, b, f, e)),
        ('front', ahead > front, (d, c, g, h)),
        ('side', right < -half, (a, c, g, e)),
        ('side', right > half, (b, d, h, f)),
    )
    for name, visible, corners in faces:
        if visible:
            patches = [(spans, hue) for face, hue, spans in details if face == name]
            scene.quad(_world(pose, corners), colour, label, patches)


def _paint_tyres(
    scene: _Scene, pose: _Pose, label: str, radius: float, half: float, *places: float
) -> None:
    for right in (half, 0.2 - half):
        for ahead in places:
            ends = [_wheel(radius, ahead, r, radius) for r in (right, right - 0.2)]
            ends = _world(pose, np.concatenate(ends))
            hull = cv2.convexHull(scene.project(ends).astype(np.float32))[:, 0]
            colour = scene.lit(_FIXED['tyre'], ends[[0, 8, 16]].tolist(), pose[1])
            scene.fill([hull], colour, label)


def _paint_hubs(
    scene: _Scene, pose: _Pose, label: str, radius: float, half: float, *places: float
) -> None:
    right = np.copysign(half, _eye(pose)[1])
    for ahead in places:
        for share, colour in ((1, 'tyre'), (0.62, 'hub'), (0.2, 'black')):
            disc = _wheel(radius * share, ahead, right, radius)
            scene.polygon(_world(pose, disc), _FIXED[colour], label)


def _paint_model(
    scene: _Scene, parts: list[Any], pose: _Pose, size: float, colours: dict[str, Any]
) -> None:
    def tone(word: str) -> Any:
        name, _, dim = word.partition('*')
        return np.multiply(colours[name], float(dim)) if dim else colours[name]

    in_front = _eye(pose)[0] > 0
    boxes = iter([part for part in parts if part[0] == 'box'][:: 1 if in_front else -1])
    for part in parts:
        kind, label, spec, *words = next(boxes) if part[0] == 'box' else part
        if kind == 'box':
            for colour, levels, patches in spec:
                details = [(face, tone(hue), spans) for face, hue, spans in patches]
                _paint_box(scene, pose, levels, tone(colour), label, details)
        elif kind == 'wheels':
            _paint_tyres(scene, pose, label, *spec)
        elif kind == 'line':
            points, thickness = _world(pose, spec * size), float(words[1]) * size
            scene.stroke(points, thickness, tone(words[0]), label)
        elif kind == 'plate':
            _, shape, scale, *face = words
            if not face or (face[0] == 'front') == in_front:
                x, y, z = _world(pose, spec[0] * size)
                flat = _OUTLINES[shape] * float(scale) * size + (x, y)
                flat = np.insert(flat, 2, z, axis=1)
                scene.polygon(flat, tone(words[0]), label)
        else:
            for point in spec:
                rim = _world(pose, _wheel(float(words[2]), *point))
                scene.polygon(rim, tone(words[1]), label)
                scene.stroke(rim, 0.07, tone(words[0]), label)
    for kind, label, spec, *_ in parts:
        if kind == 'wheels':
            _paint_hubs(scene, pose, label, *spec)


# --- what stands along the street -----------------------------------------------------


def _paint_crown(
    scene: _Scene,
    centre: tuple[float, float, float],
    radii: Sequence[float] | np.ndarray,
    colour: _Colour,
    blobs: int,
) -> None:
    """Paint leaves as round blobs, dark below and bright on top."""
    rng = scene.rng
    x, y, z = centre
    spots = np.clip(rng.normal(0, 0.42, (blobs, 2)), -0.75, 0.75)
    spots = spots[np.argsort(-np.abs(spots).sum(1))]
    tones = 0.85 + 0.4 * spots[:, 1] + rng.normal(0, 0.08, blobs)
    colour = np.array(scene.lit(colour, ((x, y, z), (x + 1, y, z), (x, y + 1, z)), z))
    colours = np.clip(tones[:, None] * colour, 0, 255).tolist()
    spots = np.insert(spots * radii + (x, y), 2, z, axis=1)
    radii = rng.uniform(0.28, 0.5, blobs) * min(radii) * scene.focal / z
    centres = np.rint(scene.project(spots) * 16).astype(int).tolist()
    radii = np.rint(radii * 16).astype(int).tolist()
    for middle, radius, tint in zip(centres, radii, colours, strict=True):
        cv2.circle(scene.image, middle, radius, tint, -1, shift=4)
        cv2.circle(scene.label, middle, radius, _IDS['vegetation'], -1, shift=4)


def _paint_tree(
    scene: _Scene, x: float, z: float, height: float, colour: _Colour
) -> None:
    rng = scene.rng
    trunk = height * rng.uniform(0.25, 0.4)
    bark = _pick(rng, _rgb('564638 685e54'))
    stem = np.array([(x, 0, z), (x, trunk * 1.5, z)])
    scene.stroke(stem, 0.045 * height, bark, 'vegetation')
    half = (height - trunk) / 2
    radii = half * rng.uniform(0.6, 0.95), half
    _paint_crown(scene, (x, trunk + half, z), radii, colour, 45)


def _paint_bush(
    scene: _Scene, x: float, z: float, size: float, colour: _Colour
) -> None:
    _paint_crown(scene, (x, 0.45 * size, z), (size, 0.6 * size), colour, 16)


def _windows(
    rng: Generator, face: str, length: float, floors: int, top: float, shop: bool
) -> _Details:
    """Details of a facade: cornice, frames, glass, curtains, shop and door."""
    columns = max(2, int(length / rng.uniform(2.0, 3.2)))
    wide, tall = rng.uniform(0.45, 0.65) / columns, rng.uniform(1.4, 1.9) / top
    u = np.arange(columns) / columns
    v = (np.arange(1 if shop else 0, floors)[:, None] * 3.1 + 1.0) / top
    middle = u + 0.5 / columns
    glass = _spans(middle - wide / 2, v, middle + wide / 2, v + tall)
    frame = 0.14 * np.array([-1 / length, -1 / top, 1 / length, 1 / top])
    details = [
        (face, (178, 174, 166), _spans(0, 0.97, 1, 1)),
        (face, _pick(rng, _rgb('e2e0d8 786c60')), glass + frame),
        (face, _FIXED['glass'], glass),
        (face, (138, 146, 150), glass[rng.random(len(glass)) < 0.35]),
    ]
    if shop:
        fronts = _spans(u + 0.1 / columns, 0.5 / top, u + 0.9 / columns, 2.5 / top)
        details.append((face, _FIXED['glass'], fronts))
        board = _spans(0.02, 2.75 / top, 0.98, 3.4 / top)
        details.append((face, _pick(rng, _CLOTHES), board))
    left = _pick(rng, u.tolist()) + 0.2 / columns
    door = _spans(left, 0, left + 1.1 / length, 2.3 / top)
    return [*details, (face, _pick(rng, _rgb('5c402c 3a3e42')), door)]


def _paint_house(
    scene: _Scene,
    side: int,
    x: float,
    z0: float,
    z1: float,
    floors: int,
    colour: _Colour,
) -> None:
    """Paint a house with its facade at x, on one side of the street."""
    rng = scene.rng
    top, wide, half = 3.1 * floors + 0.6, 5.5, (z1 - z0) / 2
    pose = x + side * wide, z0 + half, 0
    if rng.random() < 0.7:
        rise = rng.uniform(1.8, 4)
        roof = (-half, half, wide, top), (-half, half, wide - 0.4 * rise, top + rise)
        _paint_box(scene, pose, roof, _pick(rng, _ROOFS), 'building')
    walls = (-half, half, wide, 0), (-half, half, wide, top)
    details: list[tuple[str, _Colour, np.ndarray]] = []
    if z0 < 0.75 * _FAR:  # else too far away to see them
        details += _windows(rng, 'rear', 2 * wide, floors, top, False)
        details += _windows(rng, 'side', z1 - z0, floors, top, rng.random() < 0.4)
    _paint_box(scene, pose, walls, colour, 'building', details)


def _paint_border(
    scene: _Scene,
    label: str,
    side: int,
    x: float,
    z0: float,
    z1: float,
    height: float,
    colour: _Colour,
) -> None:
    """Paint a wall or a fence, whose gaps belong to it as in Cityscapes."""
    length, dark = z1 - z0, np.multiply(colour, 0.8)

    def bars(pitch: float, wide: float, high: float) -> np.ndarray:
        u = np.arange(0, length - wide, pitch) / length
        return _spans(u, 0, u + wide / length, high)

    if label == 'wall':
        half, base, coping = 0.2, colour, np.multiply(colour, 1.15)
        details = [('side', dark, bars(2.5, 0.15, 1))]
        details += [(face, coping, _spans(0, 0.9, 1, 1)) for face in ('side', 'rear')]
    else:
        half, base = 0, None
        rails = _spans(0, np.array([0.12, 0.82]), 1, np.array([0.22, 0.92]))
        details = [('side', dark, rails), ('side', colour, bars(0.3, 0.14, 0.96))]
        details += [('side', dark, bars(2.4, 0.14, 1))]
    pose = x + side * half, z0 + length / 2, 0
    levels = [(-length / 2, length / 2, half, up) for up in (0, height)]
    _paint_box(scene, pose, levels, base, label, details)


def _add_tree(scene: _Scene, band: int, x: float, z: float, height: float) -> None:
    colour, half = _pick(scene.rng, _LEAVES), height / 5
    scene.add(band, z, _paint_tree, x=x, z=z, height=height, colour=colour)
    foot = [(x - half, z), (x, z - half), (x + half, z), (x, z + half)]
    scene.shadows.append((foot, height))


def _add_house(
    scene: _Scene, band: int, side: int, x: float, z0: float, z1: float
) -> None:
    floors, colour = int(scene.rng.integers(2, 6)), _pick(scene.rng, _FACADES)
    place = {'side': side, 'x': x, 'z0': z0, 'z1': z1}
    scene.add(band, z0, _paint_house, **place, floors=floors, colour=colour)
    foot = [(x, z0), (x + side * 11, z0), (x + side * 11, z1), (x, z1)]
    scene.shadows.append((foot, 3.1 * floors))


# --- the street as a whole ------------------------------------------------------------


def _lay_plots(
    scene: _Scene, side: int, front: float, district: str, border: str | None
) -> None:
    """Line one side of the street with houses, gardens and what encloses them."""
    rng = scene.rng
    near, far = scene.crossing
    height, leaves = rng.uniform(1.2, 2.1), _pick(rng, _LEAVES)
    colour = _pick(rng, [*_GREYS, *_rgb('96624e 78543a')])
    x, z = side * front, rng.uniform(2, 6)
    while z < _FAR - 12:
        end = z + rng.uniform(9, 18)
        if end > near - 1 and z < far + 1:  # up to the side street, then beyond it
            end = near - 1
            if end - z < 4:
                z = far + 1
                continue
        house = rng.random() < {'city': 0.88, 'suburb': 0.85, 'park': 0}[district]
        if house and district == 'city':
            _add_house(scene, 6, side, x, z, end)
            z = end
            continue
        if house:
            _add_house(scene, 6, side, x + side * rng.uniform(4, 6), z + 1, end - 1)
        for _ in range(rng.integers(1, 3) if house else rng.integers(3, 6)):
            away, place = rng.uniform(1.5, 3 if house else 12), rng.uniform(z, end)
            away = x + side * away
            if rng.random() < 0.65:
                _add_tree(scene, 5, away, place, rng.uniform(4, 9))
            else:
                bush = {'size': rng.uniform(0.8, 1.8), 'colour': leaves}
                scene.add(5, place, _paint_bush, x=away, z=place, **bush)
        for place in np.arange(z, end, 0.9) if border == 'hedge' else ():
            scene.add(4, place, _paint_bush, x=x, z=place, size=1.3, colour=leaves)
        if border in ('wall', 'fence'):
            place = {'side': side, 'x': x, 'z0': z, 'z1': end}
            look = {'label': border, 'height': height, 'colour': colour}
            scene.add(4, z, _paint_border, **place, **look)
        z = end


def _lay_sidewalk(scene: _Scene, side: int, strip: float, walk: float) -> None:
    """Put lamps, trees, signs, people and parked bicycles on one sidewalk."""
    rng = scene.rng
    curb = scene.curbs[side]
    row, middle = side * (curb + 0.6), curb + strip + walk / 2
    seen = 1.75 * middle  # where the sidewalk enters the picture

    def free(places: np.ndarray) -> list[float]:
        near, far = scene.crossing
        return [z for z in places if not near - 1 < z < far + 1]

    for z in free(np.arange(rng.uniform(9, 20), 110, rng.uniform(18, 28))):
        scene.put('street lamp', row, z, 0 if side > 0 else np.pi)
    if strip and rng.random() < 0.7:
        for z in free(np.arange(rng.uniform(10, 18), 110, rng.uniform(7, 13))):
            _add_tree(scene, 3, side * (curb + strip / 2 + 0.3), z, rng.uniform(4, 7))
    for z in free(rng.uniform(seen, 36, rng.integers(1, 4))):
        scene.put(_pick(rng, _SIGNS), row, z, size=rng.uniform(0.9, 1.15))
    for z in free(rng.uniform(seen, 45, rng.integers(2, 8))):
        x = side * (middle + rng.uniform(-0.45, 0.45) * walk)
        size = rng.uniform(0.92, 1.08) if rng.random() < 0.85 else 0.65
        scene.put('walker', x, z, _pick(rng, (0, np.pi)) + rng.normal(0, 0.5), size)
    for z in free(rng.uniform(seen, 30, rng.integers(0, 4))):
        name = 'parked bicycle' if rng.random() < 0.6 else 'parked motorcycle'
        scene.put(name, side * (curb + strip + 0.4), z, rng.uniform(0.4, 1.8))
    for z in free(rng.uniform(seen, 25, rng.integers(0, 2))):
        scene.put('bin', row, z)


def _vehicle(rng: Generator, cars: float) -> str:
    """Name a vehicle, a car with the given probability."""
    others = ('truck', 'bus', 'motorcycle', 'bicycle')
    return _pick(rng, _CARS if rng.random() < cars else others)


def _lay_lane(
    scene: _Scene,
    x: float,
    yaw: float,
    z: float,
    gaps: tuple[float, float] = (5, 28),
    cars: float = 0.76,
    focus: str | None = None,
) -> None:
    """Fill a lane with vehicles from z on, the focus first."""
    rng = scene.rng
    near, far = scene.crossing
    while z < 80:
        name = focus or _vehicle(rng, cars)
        length = np.ptp([corner[0] for corner in _PARSED[name][1:]])
        if not focus and z + length > near - 5 and z < far + 1:
            z = far + 2
            continue
        focus = None
        aside = rng.uniform(0.5, 1.1) if name == 'bicycle' else rng.normal(0, 0.1)
        turn = rng.normal(0, 0.5 if name in ('bicycle', 'motorcycle') else 0.015)
        scene.put(name, x + aside * np.cos(yaw), z + length / 2, yaw + turn)
        z += length + rng.uniform(*gaps)


def _lay_crossing(scene: _Scene, focus: str | None) -> None:
    """Put traffic lights, people and crossing traffic at the side street."""
    rng = scene.rng
    near, far = scene.crossing
    lamps = zip(('stop', 'wait', 'go'), _rgb('ff281e ffbe28 28f082'), strict=True)
    colours: dict[str, Any] = dict(lamps)
    lit = _pick(rng, (*colours,))
    for lamp in colours.keys() - {lit}:
        colours[lamp] = np.multiply(colours[lamp], 0.22)
    for side, curb in scene.curbs.items():
        for z in (near - 1.2, far + 1):
            scene.put('traffic light', side * (curb + 0.4), z, **colours)
    for x in rng.uniform(-scene.curbs[-1], scene.curbs[1], rng.integers(0, 5)):
        scene.put('walker', x, near - 2.2, _pick(rng, (-1.4, 1.4)))
    if focus or rng.random() < 0.6:
        side = _pick(rng, (-1, 1))
        x, z = rng.uniform(-0.3, 0.3) * near, (near + far) / 2 + side * 1.4
        scene.put(focus or _vehicle(rng, 0.65), x, z, side * np.pi / 2)


def _paint_sky(scene: _Scene) -> None:
    rng = scene.rng
    width, rows = scene.label.shape[1], int(scene.vanishing[1]) + 1
    fall = np.linspace(0, 1, rows)[:, None, None]
    sky = scene.zenith + (scene.haze - scene.zenith) * fall
    clouds = _noise(rng, 2 * rows, width, 5)[::2]  # flat ones
    cover = 0.8 * np.clip(clouds + scene.clouds - 0.6, 0, 1)[..., None]
    bright = np.minimum(scene.haze + 12, 250) - 40 * scene.clouds * cover
    scene.image[:rows] = sky + (bright - sky) * cover


def _paint_ground(scene: _Scene, sides: dict[int, _Side], rails: bool) -> None:
    """Paint road, sidewalks and terrain; a side is its strip, walk and district."""
    rng = scene.rng
    asphalt = np.multiply(_pick(rng, _GREYS[:3]), rng.uniform(0.7, 1.0))
    paving = np.multiply(_pick(rng, _GREYS), rng.uniform(0.9, 1.15))
    white = np.multiply(_FIXED['white'], rng.uniform(0.75, 0.95))
    grass, end = _pick(rng, _GRASS), _FAR + 20
    for side, (strip, walk, district) in sides.items():
        curb = scene.curbs[side]
        yard = (paving, 'sidewalk') if district == 'city' else (grass, 'terrain')
        for inner, outer, colour, label in (
            (curb + strip + walk, 400, *yard),
            (curb, curb + strip + walk, paving, 'sidewalk'),
            (curb, curb + strip, grass, 'terrain'),
            (curb, curb + 0.08, paving * 0.6, 'sidewalk'),
            (curb + 0.08, curb + 0.24, paving * 1.2, 'sidewalk'),
        ):
            if outer > inner:
                scene.ground(side * inner, side * outer, _NEAR, end, colour, label)
    left, right = -scene.curbs[-1], scene.curbs[1]
    scene.ground(left, right, _NEAR, end, asphalt, 'road')
    for _ in range(rng.integers(0, 4)):  # mended places
        x, z, wide, long = rng.uniform((-4, 4, 0.6, 1), (1, 25, 2.5, 6))
        patch = asphalt * rng.uniform(0.8, 1.1)
        scene.ground(x, x + wide, z, z + long, patch, 'road')
    dash, x = _pick(rng, (3, 4, 6)), -_LANE / 2
    for z in np.arange(-rng.uniform(0, dash), _FAR, 2 * dash):
        scene.ground(x - 0.07, x + 0.07, z, z + dash, white, 'road')
    for x in (-_LANE - 0.72, -_LANE + 0.72) if rails else ():
        scene.ground(x - 0.06, x + 0.06, _NEAR, end, _FIXED['dark'], 'road')
    near, far = scene.crossing
    if near < _FAR:
        scene.ground(-400, 400, near, far, asphalt, 'road')
        scene.ground(-_LANE / 2, right, near - 4.8, near - 4.4, white, 'road')
        for x in np.arange(left + 0.4, right - 0.5, 1.0):
            scene.ground(x, x + 0.5, near - 3.4, near - 1, white, 'road')


def _shade(scene: _Scene, top: int) -> np.ndarray:
    """How much light the things leave to the rows of the ground from top on."""
    below, cast = (np.zeros_like(scene.label[top:]) for _ in range(2))
    shift = -scene.to_sun[[0, 2]] / scene.to_sun[1]
    for corners, tall in scene.shadows:
        hull = cv2.convexHull(
            np.array([*corners, *(corners + shift * tall)], np.float32)
        )[:, 0]
        for mask, area in ((below, corners), (cast, hull)):
            area = _clip(np.insert(area, 1, 0, axis=1))
            if len(area) > 2 and (mask is cast or tall < _TALL):
                pixels = np.rint(scene.project(area) - (0, top)).astype(np.int32)
                cv2.fillPoly(mask, [pixels], 255)
    blur = 2 * (below.shape[1] // 192) + 1
    below, cast = (cv2.blur(mask, (blur, blur)) / 255 for mask in (below, cast))
    return (1 - 0.6 * below) * (1 - 0.75 * scene.sun * cast)


def _weather_ground(scene: _Scene) -> None:
    """Give the ground a grain that shrinks with the distance, shadows and haze."""
    height, width = scene.label.shape
    top = int(scene.vanishing[1]) + 2
    image, label = scene.image[top:], scene.label[top:]
    down = np.arange(top, height, dtype=np.float32) - np.float32(scene.vanishing[1])
    z = np.float32(scene.focal * _EYE) / down[:, None]
    x = (np.arange(width, dtype=np.float32) - scene.vanishing[0]) * z / scene.focal
    grain = _noise(scene.rng, 256, 256, 20)
    stains = grain[(z * 3).astype(int) & 255, (x * 12).astype(int) & 255]
    specks = grain[(z * 40).astype(int) & 255, (x * 40).astype(int) & 255]
    rough = np.where(label == _IDS['terrain'], np.float32(0.12), np.float32(0.035))
    change = 1 + rough * (0.6 * stains + specks * np.exp(-z / 12))
    joints = ((x % 0.75 < 0.05) | (z % 0.75 < 0.07)) & (label == _IDS['sidewalk'])
    change = (change - 0.2 * joints * np.exp(-z / 14)) * _shade(scene, top)
    clear = np.exp(-z / scene.visibility)[..., None]
    hazy = clear * image * change[..., None] + (1 - clear) * scene.haze
    image[:] = np.clip(hazy, 0, 255)


def _paint_backdrop(scene: _Scene) -> None:
    """Paint trees and houses along the horizon, where the street ends."""
    rng = scene.rng
    green = _pick(rng, _LEAVES)
    strip = [(-400, -2, _FAR), (400, -2, _FAR), (400, 3, _FAR), (-400, 3, _FAR)]
    scene.polygon(strip, green, 'vegetation')
    for x in np.arange(-110, 110, 9) + rng.uniform(-3, 3):
        if rng.random() < 0.6:
            radii = rng.uniform((4, 4), (8, 9))
            _paint_crown(scene, (x, 4, _FAR - 6), radii, green, 9)
        else:
            floors, colour = int(rng.integers(2, 7)), _pick(rng, _FACADES)
            _paint_house(scene, -1, x + 12, _FAR - 6, _FAR, floors, colour)


def _paint_street(scene: _Scene, focus: str) -> None:
    """Lay out one street and paint it."""
    rng = scene.rng
    along = focus in _LARGE and rng.random() < 0.6  # else it comes from the side street
    across = focus in _LARGE and not along
    if across or (rng.random() < 0.55 and not (along and focus == 'train')):
        near = rng.uniform(28, 40) if along else rng.uniform(15, 26)
        scene.crossing = near, near + rng.uniform(6.5, 8)
    sides, shown = {}, _pick(rng, (-1, 1))
    parked = {side: rng.random() < 0.65 for side in (-1, 1)}
    for side, lanes in ((-1, 1.5), (1, 0.5)):
        scene.curbs[side] = lanes * _LANE + (2.3 if parked[side] else 0.4)
    for side in (-1, 1):
        district = rng.choice(('city', 'suburb', 'park'), p=(0.5, 0.3, 0.2))
        border = _pick(rng, ('wall', 'fence', 'hedge', None))
        if focus in ('wall', 'fence') and side == shown:
            district, border = _pick(rng, ('suburb', 'park')), focus
        strip, walk = _pick(rng, (0, 0, 1.6, 2.4)), rng.uniform(2, 3.4)
        sides[side] = strip, walk, district
        _lay_plots(scene, side, scene.curbs[side] + strip + walk, district, border)
        _lay_sidewalk(scene, side, strip, walk)
        if parked[side]:
            x, yaw = scene.curbs[side] - 1.15, np.pi * (side < 0)
            start = 1.7 * x + rng.uniform(0, 4)
            _lay_lane(scene, side * x, yaw, start, gaps=(0.5, 6), cars=1)
    lead = meet = None
    ahead, oncoming = rng.uniform(10, 28), rng.uniform(8, 24)
    if focus in ('motorcycle', 'bicycle'):
        lead, ahead = focus, rng.uniform(6, 10)
    elif along and (focus == 'train' or rng.random() < 0.5):
        meet, oncoming = focus, rng.uniform(8, 12)
    elif along:
        lead, ahead = focus, rng.uniform(9, 13)
    _lay_lane(scene, 0, 0, ahead, focus=lead)
    _lay_lane(scene, -_LANE, np.pi, oncoming, focus=meet)
    if scene.crossing[0] < _FAR:
        _lay_crossing(scene, focus if across else None)
    _paint_sky(scene)
    _paint_ground(scene, sides, rails=along and focus == 'train')
    _weather_ground(scene)
    _paint_backdrop(scene)
    scene.paint_things()


def _paint_bonnet(scene: _Scene) -> None:
    """Cover the bottom with the bonnet of the car that carries the camera."""
    height, width = scene.label.shape
    colour = np.multiply(_pick(scene.rng, _PAINTS), 0.6)
    rise = scene.rng.uniform(0.06, 0.1)
    for k in range(4):
        half = 0.62 * width, (rise - 0.014 * k) * height
        outline = _OUTLINES['disc'] * half + (width / 2, height * (1 + 0.2 * rise))
        scene.fill([outline], (colour * (0.8 + 0.14 * k)).tolist(), 'ego vehicle')


def _develop(scene: _Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return image and labels at the final size, as the camera delivers them."""
    rng = scene.rng
    height, width = scene.label.shape
    rough = np.full(256, 0.03, np.float32)
    rough[_IDS['vegetation']] = 0.13
    rough[[_IDS['building'], _IDS['wall']]] = 0.05
    rough[[_IDS['sky'], _IDS['ego vehicle']]] = 0.0
    grain = _noise(rng, height, width, 64) * rough[scene.label]
    size = width // _SUPERSAMPLE, height // _SUPERSAMPLE
    image = scene.image * (1 + grain[..., None])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, 0.6) * size[0] / 256)
    across, down = np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1])[:, None]
    image *= (1 - 0.08 * (across**2 + down**2))[..., None]
    image = 255 * np.clip(image / 255, 0, 1) ** rng.uniform(0.85, 1.2)
    image *= rng.uniform(0.96, 1.04, 3)
    image += rng.normal(0, rng.uniform(1, 4), image.shape)
    middle = slice(_SUPERSAMPLE // 2, None, _SUPERSAMPLE)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), scene.label[middle, middle]


def draw_street(
    rng: Generator, index: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a street.

    Args:
        rng (np.random.Generator): What everything but the focus is drawn by.
        index (int): Chooses the rare thing that is near by, in turn.
        size (tuple[int, int]): Height and width in pixels.

    Returns:
        tuple[np.ndarray, np.ndarray]: The image, uint8 (H, W, 3) RGB, and its label
        ids, uint8 (H, W).
    """
    scene = _Scene(rng, *size)
    _paint_street(scene, _FOCUS[index % len(_FOCUS)])
    if scene.rng.random() < 0.4:
        _paint_bonnet(scene)
    return _develop(scene)
