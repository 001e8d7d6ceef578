"""The public tables, with the column types of the real ones (from published queries and listings)."""

from __future__ import annotations

PUBLIC_PROJECT = "bigquery-public-data"
DATASET = "san_francisco_bikeshare"

# Name and type, in order. Note `station_id`: STRING in the one table, and INTEGER under two names in the other.
STATION_INFO = (
    ("station_id", "STRING"),
    ("name", "STRING"),
    ("short_name", "STRING"),
    ("lat", "FLOAT"),
    ("lon", "FLOAT"),
    ("region_id", "INTEGER"),
    ("rental_methods", "STRING"),
    ("capacity", "INTEGER"),
    ("external_id", "STRING"),
    ("eightd_has_key_dispenser", "BOOLEAN"),
    ("has_kiosk", "BOOLEAN"),
    ("station_geom", "GEOGRAPHY"),
)
TRIPS = (
    ("trip_id", "STRING"),
    ("duration_sec", "INTEGER"),
    ("start_date", "TIMESTAMP"),
    ("start_station_name", "STRING"),
    ("start_station_id", "INTEGER"),
    ("end_date", "TIMESTAMP"),
    ("end_station_name", "STRING"),
    ("end_station_id", "INTEGER"),
    ("bike_number", "INTEGER"),
    ("zip_code", "STRING"),
    ("subscriber_type", "STRING"),
    ("c_subscription_type", "STRING"),
    ("start_station_latitude", "FLOAT"),
    ("start_station_longitude", "FLOAT"),
    ("end_station_latitude", "FLOAT"),
    ("end_station_longitude", "FLOAT"),
    ("member_birth_year", "INTEGER"),
    ("member_gender", "STRING"),
    ("bike_share_for_all_trip", "STRING"),
    ("start_station_geom", "GEOGRAPHY"),
    ("end_station_geom", "GEOGRAPHY"),
)
TABLES = {"bikeshare_station_info": STATION_INFO, "bikeshare_trips": TRIPS}
