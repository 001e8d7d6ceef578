"""Draw the dashboard's charts in one style. No chart needs a network, except that a map with a key loads its tiles."""

from __future__ import annotations

import io
import math
import urllib.parse
import urllib.request
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

INK, SOFT, GRID = "#17212b", "#52606d", "#e4e8ed"
BLUE, PALE, CORAL = "#14597a", "#a9cbd9", "#e2572b"
WATER, LAND = "#e3eef3", "#f8f6f1"
SCALE = LinearSegmentedColormap.from_list("rides", ["#f2f7f9", "#a9cbd9", "#3f8aa8", "#14597a", "#0b3249"])
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# San Francisco's shore and county line, drawn by hand and simplified: longitude, latitude, clockwise from Fort Point.
SHORE = (
    (-122.4770, 37.8105), (-122.4640, 37.8063), (-122.4480, 37.8082), (-122.4390, 37.8077), (-122.4315, 37.8078),
    (-122.4280, 37.8062), (-122.4232, 37.8078), (-122.4180, 37.8094), (-122.4105, 37.8104), (-122.4050, 37.8078),
    (-122.4010, 37.8040), (-122.3972, 37.8000), (-122.3930, 37.7958), (-122.3885, 37.7905), (-122.3873, 37.7840),
    (-122.3880, 37.7800), (-122.3893, 37.7772), (-122.3868, 37.7745), (-122.3850, 37.7700), (-122.3862, 37.7650),
    (-122.3820, 37.7605), (-122.3812, 37.7540), (-122.3835, 37.7478), (-122.3760, 37.7392), (-122.3745, 37.7345),
    (-122.3570, 37.7285), (-122.3640, 37.7180), (-122.3800, 37.7215), (-122.3790, 37.7100), (-122.3920, 37.7083),
    (-122.5020, 37.7083), (-122.5070, 37.7350), (-122.5110, 37.7600), (-122.5140, 37.7785), (-122.5060, 37.7882),
    (-122.4840, 37.7930),
)  # fmt: skip
MARKET_STREET = ((-122.3945, 37.7947), (-122.4351, 37.7624))
PLACES = (
    ("Golden Gate Park", -122.4720, 37.7697),
    ("Presidio", -122.4650, 37.7975),
    ("Mission District", -122.4160, 37.7462),
    ("Twin Peaks", -122.4470, 37.7530),
    ("Potrero Hill", -122.4005, 37.7575),
    ("San Francisco Bay", -122.3700, 37.8120),
)
VIEW = (-122.4880, -122.3480, 37.7400, 37.8165)  # west, east, south, north


def use_style() -> None:
    """Set the style of all charts."""
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "font.size": 11,
            "text.color": INK,
            "axes.labelcolor": SOFT,
            "axes.edgecolor": GRID,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "xtick.color": SOFT,
            "ytick.color": INK,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "svg.hashsalt": "bike-share",
        }
    )


def key_figures(figures: Sequence[tuple[str, str]]) -> Figure:
    """Draw large numbers side by side, each with its label."""
    figure, axes = plt.subplots(1, len(figures), figsize=(10, 1.35))
    for axis, (value, label) in zip(axes, figures, strict=True):
        axis.axis("off")
        axis.axvline(0, color=CORAL, linewidth=3)
        axis.text(0.07, 0.92, value, fontsize=25, fontweight="bold", va="top", transform=axis.transAxes)
        axis.text(0.07, 0.10, label, fontsize=11, color=SOFT, va="bottom", transform=axis.transAxes)
        axis.set_xlim(0, 1)
    figure.tight_layout(w_pad=1.5)
    return figure


def ranking(stations: pd.DataFrame) -> Figure:
    """Draw a horizontal bar for each `station` with its `trips`, the busiest on top."""
    top = stations.head(10)
    figure, axis = plt.subplots(figsize=(10, 4.7))
    bars = axis.barh(top["station"], top["trips"], height=0.68, color=[CORAL] + [BLUE] * (len(top) - 1))
    axis.bar_label(bars, labels=[f"{trips:,}" for trips in top["trips"]], padding=6, fontsize=11)
    axis.invert_yaxis()
    axis.set_xlim(0, float(top["trips"].max()) * 1.08)
    axis.xaxis.set_visible(False)
    axis.spines[["left", "bottom"]].set_visible(False)
    return _titled(figure, "Ten busiest stations", "Trips started in the period")


def station_map(stations: pd.DataFrame, map_key: str | None = None) -> Figure:
    """Draw stations at `lat` and `lon`, sized by their `trips`. With a key, the background is Google Maps."""
    figure, axis = plt.subplots(figsize=(10, 8.2))
    tiles = _tiles(map_key) if map_key else None
    if tiles is None:
        _draw_city(axis)
    else:
        picture, extent = tiles
        axis.imshow(picture, extent=extent, aspect="auto", interpolation="bilinear")
    most = float(stations["trips"].max())
    shown = stations.sort_values("trips", ascending=False)
    dots = axis.scatter(
        shown["lon"], shown["lat"], s=18 + 620 * shown["trips"] / most, c=shown["trips"], cmap=SCALE,
        vmin=-0.25 * most, vmax=most, edgecolor="white", linewidth=1, alpha=0.94, zorder=3,
    )  # fmt: skip
    _label_busiest(axis, shown.head(5))
    west, east, south, north = VIEW
    axis.set(xlim=(west, east), ylim=(south, north), xticks=[], yticks=[])
    axis.set_aspect(1 / math.cos(math.radians((south + north) / 2)))
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(
        dots, ax=axis, orientation="horizontal", shrink=0.32, aspect=28, pad=0.015, anchor=(1, 1)
    )
    bar.outline.set_visible(False)
    bar.ax.set_xlim(0, most)
    bar.set_label("Trips started", fontsize=10.5)
    return _titled(figure, "Where the trips begin", "A dot for each station; size and colour show its trips")


def week(hours: pd.DataFrame) -> Figure:
    """Draw a field for each hour of the week.

    Rows are weekdays from Monday, columns are hours, values are mean trips.
    """
    figure, axis = plt.subplots(figsize=(10, 4.1))
    image = axis.imshow(hours.to_numpy(), cmap=SCALE, aspect="auto", vmin=0)
    axis.set_yticks(range(7), DAYS)
    axis.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
    axis.set_xticks(np.arange(-0.5, 24), minor=True)
    axis.set_yticks(np.arange(-0.5, 7), minor=True)
    axis.grid(which="minor", color="white", linewidth=1.6)
    axis.tick_params(which="minor", length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, pad=0.02, aspect=18)
    bar.outline.set_visible(False)
    bar.set_label("Trips an hour")
    return _titled(figure, "The week by the hour", "Trips started, on an average day of each kind")


def day(hours: pd.DataFrame) -> Figure:
    """Draw two lines over the day: the mean of the working days, and of the weekend."""
    figure, axis = plt.subplots(figsize=(10, 3.9))
    lines = (("Monday to Friday", hours.iloc[:5].mean(), BLUE), ("Weekend", hours.iloc[5:].mean(), CORAL))
    for (label, values, color), distance in zip(lines, (10, -24), strict=True):
        axis.plot(values.index, values, color=color, linewidth=2.6)
        axis.fill_between(values.index, values, color=color, alpha=0.08, linewidth=0)
        peak = int(values.idxmax())
        axis.plot(peak, values[peak], "o", color=color, markersize=7, markeredgecolor="white")
        axis.annotate(
            f"{label}, {peak:02d}:00", (peak, values[peak]), xytext=(0, distance), textcoords="offset points",
            ha="center", fontsize=11, fontweight="bold", color=color,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip
    axis.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
    axis.set(xlim=(0, 23), ylim=(0, None), ylabel="Trips an hour")
    axis.margins(y=0.18)
    axis.set_ylim(0, axis.get_ylim()[1] * 1.12)
    axis.grid(axis="y", color=GRID)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", colors=SOFT)
    return _titled(figure, "Commuters and leisure", "Trips started in each hour, mean of the days")


def _titled(figure: Figure, title: str, subtitle: str) -> Figure:
    """Put the title and the subtitle above the chart, left-aligned, at the same distance in every chart."""
    inches = figure.get_size_inches()[1]
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.72 / inches))
    figure.text(0.012, 1 - 0.10 / inches, title, fontsize=16, fontweight="bold", va="top")
    figure.text(0.012, 1 - 0.43 / inches, subtitle, fontsize=11, color=SOFT, va="top")
    return figure


def _draw_city(axis: Axes) -> None:
    axis.set_facecolor(WATER)
    axis.fill(*zip(*SHORE, strict=True), facecolor=LAND, edgecolor="#b9c6cf", linewidth=1.2, zorder=1)
    axis.plot(
        *zip(*MARKET_STREET, strict=True), color="#e0d9ca", linewidth=4, solid_capstyle="round", zorder=1.5
    )
    for name, lon, lat in PLACES:
        axis.text(
            lon, lat, name, fontsize=10.5, color="#8695a1", style="italic", ha="center", va="center", zorder=2
        )


def _label_busiest(axis: Axes, busiest: pd.DataFrame) -> None:
    """Write the names of the stations in a column over the bay, from north to south, with a line to each dot."""
    above = math.inf
    for row in busiest.sort_values("lat", ascending=False).itertuples():
        above = min(row.lat + 0.004, above - 0.0036)
        axis.annotate(
            row.station, (row.lon, row.lat), xytext=(-122.3825, above), fontsize=11, fontweight="bold", va="center", zorder=4,
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.9, "shrinkA": 2, "shrinkB": 0},
        )  # fmt: skip


def _tiles(
    map_key: str, zoom: int = 13, size: int = 640
) -> tuple[np.ndarray, tuple[float, float, float, float]] | None:
    """Return a map of the city and its edges in degrees. On a failure, print the reason and return None."""
    west, east, south, north = VIEW
    lon, lat = (west + east) / 2, (south + north) / 2
    query = {"center": f"{lat},{lon}", "zoom": zoom, "size": f"{size}x{size}", "scale": 2, "key": map_key}
    url = "https://maps.googleapis.com/maps/api/staticmap?" + urllib.parse.urlencode(query)
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            picture = plt.imread(io.BytesIO(answer.read()))
    except (OSError, ValueError) as error:
        # The error's text can contain the address, and with it the key.
        print(f"no map tiles ({type(error).__name__}); the drawn map is used")
        return None
    half_lon = 180 * size / (256 * 2**zoom)
    half_lat = half_lon * math.cos(math.radians(lat))
    return picture, (lon - half_lon, lon + half_lon, lat - half_lat, lat + half_lat)
