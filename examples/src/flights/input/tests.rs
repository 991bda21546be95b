//! Totals and faults that come of good and bad rows.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::civil::date;
use std::io::Write;
use tempfile::TempDir;

const FLIGHTS: &str = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,\
    arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour";
const WEATHER: &str = "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,\
    precip,pressure,visib,time_hour";

/// A good row of a day of January.
fn flight(day: u8, carrier: &str, delay: &str, hour: u8) -> String {
    format!(
        "2013,1,{day},517,515,{delay},830,819,{delay},{carrier},1545,N14228,EWR,IAH,227,1400,5,15,\
         2013-01-{day:02}T{hour:02}:00:00Z"
    )
}

fn cancelled(day: u8, carrier: &str) -> String {
    format!(
        "2013,1,{day},NA,1159,NA,NA,1344,NA,{carrier},3572,NA,EWR,CLE,NA,419,11,59,\
         2013-01-{day:02}T10:00:00Z"
    )
}

fn weather(day: u8, wind: &str) -> String {
    format!(
        "EWR,2013,1,{day},5,39.02,26.06,59.37,270,{wind},NA,0,1012,10,2013-01-{day:02}T10:00:00Z"
    )
}

fn lines(header: &str, rows: &[String]) -> String {
    let mut text = format!("{header}\n");
    for row in rows {
        text.push_str(row);
        text.push('\n');
    }
    text
}

fn directory(flights: &[String], weather: &[String]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("airlines.csv", "carrier,name\nAA,American\nUA,United\n");
    write("flights.csv", &lines(FLIGHTS, flights));
    write("weather.csv", &lines(WEATHER, weather));
    dir
}

fn files(dir: &TempDir) -> Files {
    Files::of_directory(dir.path()).unwrap()
}

fn input(flights: &[String], weather: &[String]) -> Input {
    Input::load(&files(&directory(flights, weather))).unwrap()
}

fn csv(input: &Input, day: i8) -> String {
    let day = input.day(date(2013, 1, day)).unwrap().unwrap();
    let bytes = day.csv(input.airlines()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

/// The fault that fails a day, without the directory's name.
fn reason(input: &Input, day: i8) -> String {
    let found = input.day(date(2013, 1, day)).unwrap_err().to_string();
    found[found.rfind('/').unwrap() + 1..].to_owned()
}

#[test]
fn days_are_kept_apart_whatever_their_order() {
    let rows = [
        flight(2, "UA", "4", 10),
        flight(1, "AA", "1", 10),
        flight(2, "UA", "-1", 10),
        cancelled(1, "AA"),
    ];
    let input = input(&rows, &[weather(1, "8.5"), weather(2, "NA")]);
    assert_eq!(csv(&input, 1), "AA,American,2,1,1.000,1.000,1819,8.500\n");
    assert_eq!(csv(&input, 2), "UA,United,2,0,1.500,1.500,2800,\n");
    assert!(input.day(date(2013, 1, 3)).unwrap().is_none());
}

#[test]
fn an_hour_without_weather_brings_no_wind_and_an_unknown_carrier_no_name() {
    let rows = [
        flight(1, "QQ", "0", 10),
        flight(1, "QQ", "0", 11),
        flight(1, "AA", "0", 11),
    ];
    let input = input(&rows, &[weather(1, "5.75")]);
    assert_eq!(
        csv(&input, 1),
        "AA,American,1,0,0.000,0.000,1400,\nQQ,,2,0,0.000,0.000,2800,5.750\n"
    );
}

#[test]
fn every_kind_of_bad_value_fails_its_day_and_no_other() {
    let good = flight(2, "AA", "1", 10);
    for (from, to, why) in [
        (",517,", ",noon,", "dep_time \"noon\" is not a whole number"),
        (
            ",515,1,",
            ",515,1.5,",
            "dep_delay \"1.5\" is not a whole number",
        ),
        (",819,1,", ",819,,", "arr_delay \"\" is not a whole number"),
        (",1400,", ",NA,", "distance is missing"),
        (
            ",1400,",
            ",-1,",
            "distance \"-1\" is not a whole number from 0",
        ),
        (",AA,", ",NA,", "carrier is missing"),
        (",AA,", ",,", "carrier is missing"),
        (",EWR,", ",,", "origin is missing"),
        (",227,", ",x,", "air_time \"x\" is not a whole number"),
        (
            "T10:00:00Z",
            "T25:00:00Z",
            "time_hour \"2013-01-02T25:00:00Z\" is not a time such as 2013-01-01T10:00:00Z",
        ),
        (",IAH,", ",", "18 fields where 19 are expected"),
        (",IAH,", ",IAH,,", "20 fields where 19 are expected"),
        (",IAH,", ",\"IAH,", "a quote is not closed"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let rows = [
            flight(1, "AA", "0", 10),
            good.clone(),
            bad,
            flight(3, "AA", "0", 10),
        ];
        let input = input(&rows, &[]);
        assert_eq!(reason(&input, 2), format!("flights.csv:4: {why}"));
        assert!(input.day(date(2013, 1, 1)).unwrap().is_some());
        assert!(input.day(date(2013, 1, 3)).unwrap().is_some());
    }
}

#[test]
fn a_carrier_that_is_no_text_is_unreadable() {
    let dir = directory(&[], &[]);
    let row = flight(1, "AA", "0", 10).into_bytes();
    let place = row.windows(2).position(|pair| pair == b"AA").unwrap();
    let mut bytes = format!("{FLIGHTS}\n").into_bytes();
    bytes.extend(&row[..place]);
    bytes.extend([0xff, 0xfe]);
    bytes.extend(&row[place + 2..]);
    std::fs::write(dir.path().join("flights.csv"), bytes).unwrap();
    let input = Input::load(&files(&dir)).unwrap();
    assert!(reason(&input, 1).ends_with("is not UTF-8 text"));
}

#[test]
fn a_row_without_a_date_fails_the_day_of_the_row_before_it() {
    let rows = [
        flight(3, "AA", "0", 10),
        "2013,1".to_owned(),
        String::new(),
        flight(4, "AA", "0", 10).replacen("2013,1,4", "2013,2,30", 1),
        flight(1, "AA", "0", 10),
    ];
    let input = input(&rows, &[]);
    assert_eq!(
        reason(&input, 3),
        "flights.csv:3: 2 fields where 19 are expected (and 2 more bad rows)"
    );
    assert!(input.day(date(2013, 1, 1)).unwrap().is_some());
    assert!(input.day(date(2013, 1, 4)).unwrap().is_none());
}

#[test]
fn a_first_row_without_a_date_fails_the_first_day_of_the_file() {
    let rows = [
        flight(9, "AA", "0", 10).replacen("2013", "x", 1),
        flight(2, "AA", "0", 10),
        flight(1, "AA", "0", 10),
    ];
    let input = input(&rows, &[]);
    assert_eq!(reason(&input, 2), "flights.csv:2: \"x-1-9\" is not a date");
    assert!(input.day(date(2013, 1, 1)).unwrap().is_some());
}

#[test]
fn a_bad_row_of_weather_fails_its_day() {
    let rows = [flight(1, "AA", "0", 10), flight(2, "AA", "0", 10)];
    for (bad, why) in [
        (weather(2, "calm"), "wind_speed \"calm\" is not a number"),
        (weather(2, "inf"), "wind_speed \"inf\" is not a number"),
        (weather(2, "1,2"), "16 fields where 15 are expected"),
        (
            weather(2, "1").replacen("39.02", "?", 1),
            "temp \"?\" is not a number",
        ),
    ] {
        let input = input(&rows, &[weather(1, "1"), bad]);
        assert_eq!(reason(&input, 2), format!("weather.csv:3: {why}"));
        assert_eq!(csv(&input, 1), "AA,American,1,0,0.000,0.000,1400,1.000\n");
    }
}

#[test]
fn bad_rows_of_both_files_are_counted_together() {
    let rows = [flight(1, "AA", "?", 10)];
    let input = input(&rows, &[weather(1, "?")]);
    assert_eq!(
        reason(&input, 1),
        "weather.csv:2: wind_speed \"?\" is not a number (and 1 more bad row)"
    );
}

#[test]
fn quoted_fields_and_another_order_of_columns_read_the_same() {
    let plain = input(&[flight(1, "AA", "3", 10)], &[weather(1, "2")]);
    let dir = directory(&[], &[weather(1, "2")]);
    let flights = "time_hour,distance,origin,carrier,arr_delay,dep_delay,dep_time,day,month,year\r\n\
        \"2013-01-01T10:00:00Z\",1400,\"EWR\",\"AA\",3,3,\"517\",1,1,2013\r\n";
    std::fs::write(dir.path().join("flights.csv"), flights).unwrap();
    let quoted = Input::load(&files(&dir)).unwrap();
    assert_eq!(csv(&quoted, 1), csv(&plain, 1));
}

#[test]
fn gzip_reads_as_plain_does_and_plain_is_preferred() {
    let rows = [flight(1, "AA", "3", 10)];
    let dir = directory(&rows, &[weather(1, "2")]);
    let expected = csv(&Input::load(&files(&dir)).unwrap(), 1);
    for name in ["flights.csv", "weather.csv"] {
        let path = dir.path().join(name);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&std::fs::read(&path).unwrap()).unwrap();
        std::fs::write(
            dir.path().join(format!("{name}.gz")),
            gzip.finish().unwrap(),
        )
        .unwrap();
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(csv(&Input::load(&files(&dir)).unwrap(), 1), expected);
    std::fs::write(dir.path().join("flights.csv"), format!("{FLIGHTS}\n")).unwrap();
    let both = Input::load(&files(&dir)).unwrap();
    assert!(both.day(date(2013, 1, 1)).unwrap().is_none());
}

#[test]
fn the_check_before_any_work_names_what_is_missing() {
    let dir = directory(&[], &[]);
    Input::check(&files(&dir)).unwrap();
    let check = |name: &str, text: Option<&str>| {
        let path = dir.path().join(name);
        let before = std::fs::read(&path).unwrap();
        match text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let fault = Input::check(&files(&dir)).unwrap_err().to_string();
        std::fs::write(path, before).unwrap();
        fault[fault.rfind('/').unwrap() + 1..].to_owned()
    };
    for name in ["airlines", "flights", "weather"] {
        assert_eq!(
            check(&format!("{name}.csv"), None),
            format!("{name}.csv: no such file, and no {name}.csv.gz beside it")
        );
    }
    assert_eq!(
        check("weather.csv", Some("origin,year\n")),
        "weather.csv:1: no column month"
    );
    assert_eq!(
        check("airlines.csv", Some("carrier,name\nAA\n")),
        "airlines.csv:2: 1 field where 2 are expected"
    );
}
