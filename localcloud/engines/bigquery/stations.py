"""Seventy invented bike share stations at San Francisco's real corners, with other names and ids than the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The kinds of stations: trains and ferries, offices, homes, or leisure.
Kind = Literal["transit", "office", "home", "leisure"]


@dataclass(frozen=True)
class Station:
    """A station; `pull` is how busy it is among those of its kind."""

    id: int
    name: str
    lat: float
    lon: float
    docks: int
    kind: Kind
    pull: float


_TABLE: tuple[tuple[str, float, float, int, Kind, float], ...] = (
    ("Ferry Plaza", 37.7952, -122.3942, 38, "transit", 3.2),
    ("Townsend at 4th", 37.7767, -122.3951, 38, "transit", 3.6),
    ("Market at Spear", 37.7934, -122.3953, 27, "transit", 2.4),
    ("Transbay Plaza", 37.7895, -122.3965, 31, "transit", 2.7),
    ("Market at Montgomery", 37.7889, -122.4018, 31, "transit", 2.5),
    ("Market at Powell", 37.7846, -122.4076, 31, "transit", 2.1),
    ("Civic Center, Market at 8th", 37.7786, -122.4146, 27, "transit", 1.7),
    ("Mission at 16th", 37.7650, -122.4196, 27, "transit", 1.6),
    ("Mission at 24th", 37.7523, -122.4185, 23, "transit", 1.0),
    ("Minnesota at 22nd", 37.7576, -122.3921, 19, "transit", 0.7),
    ("Castro at Market", 37.7626, -122.4350, 23, "transit", 0.9),
    ("Church at Market", 37.7675, -122.4290, 23, "transit", 1.2),
    ("Howard at 2nd", 37.7871, -122.3978, 27, "office", 2.3),
    ("Folsom at 3rd", 37.7838, -122.3990, 27, "office", 1.8),
    ("Main at Harrison", 37.7888, -122.3906, 23, "office", 1.4),
    ("Beale at Mission", 37.7919, -122.3963, 27, "office", 2.0),
    ("California at Sansome", 37.7933, -122.4008, 23, "office", 1.9),
    ("Bush at Kearny", 37.7906, -122.4041, 23, "office", 1.5),
    ("Union Square, Post at Stockton", 37.7884, -122.4066, 27, "office", 1.3),
    ("Clay at Battery", 37.7952, -122.4004, 23, "office", 1.4),
    ("Broadway at Battery", 37.7986, -122.4010, 19, "office", 1.1),
    ("Filbert at Sansome", 37.8021, -122.4032, 23, "office", 1.4),
    ("Brannan at 2nd", 37.7817, -122.3920, 23, "office", 1.5),
    ("King at 3rd", 37.7781, -122.3925, 23, "office", 1.2),
    ("Brannan at 5th", 37.7766, -122.3990, 19, "office", 1.1),
    ("Townsend at 7th", 37.7709, -122.4022, 27, "office", 1.9),
    ("Bryant at 6th", 37.7760, -122.4029, 19, "office", 0.8),
    ("Howard at 5th", 37.7816, -122.4051, 23, "office", 1.2),
    ("Folsom at 9th", 37.7739, -122.4114, 19, "office", 0.9),
    ("Market at 10th", 37.7766, -122.4174, 31, "office", 1.9),
    ("Division at 8th", 37.7696, -122.4078, 19, "office", 0.8),
    ("Mission Bay at 4th", 37.7704, -122.3911, 23, "office", 1.2),
    ("Owens at 16th", 37.7667, -122.3939, 19, "office", 0.9),
    ("Mariposa at 3rd", 37.7640, -122.3890, 19, "office", 0.7),
    ("Illinois at 20th", 37.7606, -122.3878, 19, "office", 0.6),
    ("Rhode Island at 17th", 37.7645, -122.4026, 19, "office", 0.7),
    ("Embarcadero at Folsom", 37.7902, -122.3897, 27, "leisure", 1.7),
    ("Pier 15", 37.7994, -122.3982, 23, "leisure", 2.0),
    ("Embarcadero at Bay", 37.8062, -122.4051, 27, "leisure", 1.9),
    ("Pier 39", 37.8081, -122.4105, 35, "leisure", 2.3),
    ("Aquatic Park, Beach at Hyde", 37.8067, -122.4206, 31, "leisure", 2.2),
    ("Fort Mason", 37.8049, -122.4313, 23, "leisure", 1.3),
    ("Marina Green", 37.8057, -122.4388, 23, "leisure", 1.4),
    ("Ballpark Plaza", 37.7788, -122.3903, 27, "leisure", 1.4),
    ("Dolores Park", 37.7612, -122.4263, 27, "leisure", 1.7),
    ("Golden Gate Park, Fell at Stanyan", 37.7717, -122.4537, 27, "leisure", 1.8),
    ("Alamo Square", 37.7768, -122.4335, 19, "leisure", 0.9),
    ("Washington Square", 37.8009, -122.4103, 23, "leisure", 1.2),
    ("Polk at North Point", 37.8051, -122.4238, 19, "home", 0.7),
    ("Polk at Broadway", 37.7956, -122.4217, 19, "home", 0.8),
    ("Polk at Sutter", 37.7874, -122.4200, 23, "home", 1.1),
    ("Van Ness at Turk", 37.7820, -122.4209, 19, "home", 0.9),
    ("Hayes at Laguna", 37.7764, -122.4263, 23, "home", 1.4),
    ("Post at Webster", 37.7856, -122.4316, 19, "home", 0.8),
    ("Fillmore at California", 37.7889, -122.4339, 19, "home", 0.7),
    ("Chestnut at Steiner", 37.8004, -122.4377, 19, "home", 0.8),
    ("Union at Gough", 37.7982, -122.4258, 15, "home", 0.6),
    ("Page at Divisadero", 37.7722, -122.4371, 23, "home", 1.2),
    ("Panhandle, Oak at Ashbury", 37.7727, -122.4474, 19, "home", 1.0),
    ("Haight at Clayton", 37.7699, -122.4487, 19, "home", 0.7),
    ("Duboce Park", 37.7693, -122.4330, 19, "home", 1.1),
    ("Sanchez at 17th", 37.7632, -122.4306, 19, "home", 1.0),
    ("Valencia at 16th", 37.7649, -122.4219, 27, "home", 1.8),
    ("Valencia at 22nd", 37.7553, -122.4211, 23, "home", 1.5),
    ("Folsom at 18th", 37.7617, -122.4147, 19, "home", 1.0),
    ("Harrison at 20th", 37.7589, -122.4122, 19, "home", 0.9),
    ("Bryant at 22nd", 37.7559, -122.4093, 19, "home", 0.7),
    ("Potrero at 24th", 37.7531, -122.4064, 15, "home", 0.6),
    ("Church at 24th", 37.7517, -122.4274, 19, "home", 0.7),
    ("Dolores at Cesar Chavez", 37.7481, -122.4247, 15, "home", 0.5),
)
STATIONS = tuple(Station(id_, *row) for id_, row in enumerate(_TABLE, start=3))
