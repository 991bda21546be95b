#!/usr/bin/env python3
"""Counts the flights again, in another language, and compares every byte of what the backfill wrote.

    examples/check_flights.py OUT [--input DIR] [--from 2013-01-01] [--to 2013-12-31]

Python's standard library only. Says what differs and exits with 1 if anything does. It reads sound input: days
with bad rows are the Rust tests' business.
"""

import argparse
import csv
import datetime
import gzip
import io
import json
import pathlib
import sys

HEADER = "carrier name flights cancelled mean_dep_delay mean_arr_delay distance mean_wind_speed".split()


def rows(directory, name):
    plain = directory / f"{name}.csv"
    path = plain if plain.exists() else directory / f"{name}.csv.gz"
    raw = path.read_bytes()
    text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    return csv.DictReader(io.StringIO(text.decode(), newline=""))


def present(row, column, kind=int):
    return None if row[column] == "NA" else kind(row[column])


def mean(values):
    values = [value for value in values if value is not None]
    total = 0.0
    for value in values:  # in the order of the file: sum() of newer Pythons compensates, and would differ
        total += value
    return f"{total / len(values):.3f}" if values else ""


def by_day(directory):
    days = {}
    for row in rows(directory, "flights"):
        day = datetime.date(int(row["year"]), int(row["month"]), int(row["day"]))
        days.setdefault(day, {}).setdefault(row["carrier"], []).append(row)
    return days


def day_file(carriers, names, wind):
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(HEADER)
    for carrier in sorted(carriers):
        flights = carriers[carrier]
        out.writerow([
            carrier,
            names.get(carrier, ""),
            len(flights),
            sum(flight["dep_time"] == "NA" for flight in flights),
            mean(present(flight, "dep_delay") for flight in flights),
            mean(present(flight, "arr_delay") for flight in flights),
            sum(int(flight["distance"]) for flight in flights),
            mean(wind.get((flight["origin"], flight["time_hour"])) for flight in flights),
        ])
    return text.getvalue().encode()


def summary(days):
    flights = [flight for carriers in days.values() for rows in carriers.values() for flight in rows]
    carriers = {}
    for flight in flights:
        counts = carriers.setdefault(flight["carrier"], {"flights": 0, "cancelled": 0})
        counts["flights"] += 1
        counts["cancelled"] += flight["dep_time"] == "NA"
    return {
        "days": len(days),
        "rows": len(flights),
        "cancelled": sum(flight["dep_time"] == "NA" for flight in flights),
        "distance": sum(int(flight["distance"]) for flight in flights),
        "arr_delay_sum": sum(present(flight, "arr_delay") or 0 for flight in flights),
        "carriers": carriers,
    }


def expected_files(arguments):
    directory = arguments.input
    names = {row["carrier"]: row["name"] for row in rows(directory, "airlines")}
    wind = {}
    for row in rows(directory, "weather"):
        wind.setdefault((row["origin"], row["time_hour"]), present(row, "wind_speed", float))
    days = by_day(directory)
    days = {day: days[day] for day in sorted(days) if arguments.first <= day <= arguments.last}
    files = {f"{day}.csv": day_file(carriers, names, wind) for day, carriers in days.items()}
    totals = summary(days)
    text = json.dumps(totals, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    files["summary.json"] = text.encode() + b"\n"
    return files, totals


def differences(expected, out):
    found = {path.name for path in out.iterdir()}
    for name in sorted(found - expected.keys()):
        yield f"{name}: should not be there"
    for name in sorted(expected.keys() - found):
        yield f"{name}: is missing"
    for name in sorted(expected.keys() & found):
        written = (out / name).read_bytes()
        if written != expected[name]:
            pairs = zip(expected[name].split(b"\n") + [None], written.split(b"\n") + [None])
            number, pair = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
            yield f"{name}:{number}: expected {pair[0]!r}, found {pair[1]!r}"


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--input", type=pathlib.Path, default=here / "data")
    parser.add_argument("--from", dest="first", type=datetime.date.fromisoformat, default="2013-01-01")
    parser.add_argument("--to", dest="last", type=datetime.date.fromisoformat, default="2013-12-31")
    arguments = parser.parse_args()
    expected, totals = expected_files(arguments)
    wrong = list(differences(expected, arguments.out))
    for line in wrong:
        print(line)
    shown = ", ".join(f"{name} {value}" for name, value in totals.items() if name != "carriers")
    print(f"{len(expected)} files expected, {len(wrong)} differ; {shown}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
