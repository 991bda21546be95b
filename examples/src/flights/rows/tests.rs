//! Rows of plain, compressed and broken files.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Cursor, Write};

fn rows(text: &str) -> Rows {
    Rows::read(
        Path::new("t.csv").into(),
        Cursor::new(text.to_owned().into_bytes()),
    )
    .unwrap()
}

/// Every row as its line number, its fields and its form.
fn all(mut rows: Rows) -> Vec<(u64, Vec<String>, Result<(), String>)> {
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let fields = (0..row.ends.len())
            .map(|index| String::from_utf8(row.field(index).unwrap().to_vec()).unwrap())
            .collect();
        all.push((row.number, fields, row.check_form()));
    }
    all
}

fn fields(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn quotes_are_taken_off_and_line_ends_of_both_kinds_are_known() {
    let read = all(rows(
        "a,b\r\n1,\"x, \"\"y\"\"\"\r\n2,z\n3,last without an end",
    ));
    assert_eq!(
        read,
        [
            (2, fields(&["1", "x, \"y\""]), Ok(())),
            (3, fields(&["2", "z"]), Ok(())),
            (4, fields(&["3", "last without an end"]), Ok(())),
        ]
    );
}

#[test]
fn an_open_quote_does_not_swallow_the_next_row() {
    let read = all(rows("a,b,c\n1,\"x,3\n4,5,6\n"));
    assert_eq!(read[0].1[0], "1");
    assert_eq!(read[0].2, Err("a quote is not closed".to_owned()));
    assert_eq!(read[1], (3, fields(&["4", "5", "6"]), Ok(())));
}

#[test]
fn the_number_of_fields_is_checked() {
    let read = all(rows("a,b,c\n1,2\n1,2,3,4\n1\n,,\n"));
    let forms: Vec<_> = read.into_iter().map(|(_, _, form)| form).collect();
    assert_eq!(
        forms,
        [
            Err("2 fields where 3 are expected".to_owned()),
            Err("4 fields where 3 are expected".to_owned()),
            Err("1 field where 3 are expected".to_owned()),
            Ok(()),
        ]
    );
}

#[test]
fn empty_lines_are_rows_unless_they_end_the_file() {
    let read = all(rows("a,b\n1,2\n\n\n3,4\n\n\n"));
    let numbers: Vec<_> = read.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [2, 3, 5]);
    assert!(read[1].2.is_err(), "{read:?}");
    assert_eq!(read[2].1, fields(&["3", "4"]));
}

#[test]
fn a_line_longer_than_every_buffer_is_read() {
    let long = "x".repeat(3 * BUFFER);
    let many = ",".repeat(500);
    let read = all(rows(&format!("a,b\n{long},\"{long}\"\n{many}\n")));
    assert_eq!(read[0].1, [long.clone(), long]);
    assert_eq!(read[1].1.len(), 501);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_column() {
    assert!(rows("\u{feff}a,b\n").find_column("a").is_some());
}

#[test]
fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    for part in ["a,b\n1,", "2\n3,4\n"] {
        let mut gzip = GzEncoder::new(&mut bytes, Compression::fast());
        gzip.write_all(part.as_bytes()).unwrap();
        gzip.finish().unwrap();
    }
    std::fs::write(dir.path().join("t.csv"), &bytes).unwrap();
    let read = all(Rows::open(dir.path(), "t").unwrap());
    assert_eq!(read[0].1, fields(&["1", "2"]));
    assert_eq!(read[1].1, fields(&["3", "4"]));
}

#[test]
fn a_cut_off_gzip_file_is_an_error_and_not_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let text: String = (0..5000u32)
        .map(|n| format!("{n},{}\n", n * 7919 % 5003))
        .collect();
    gzip.write_all(format!("a,b\n{text}").as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    std::fs::write(dir.path().join("t.csv.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let mut rows = Rows::open(dir.path(), "t").unwrap();
    let error = loop {
        match rows.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end of half a file was taken for the end of the file"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("t.csv.gz:"), "{error}");
    assert!(error.contains("can't be read on"), "{error}");
}

#[test]
fn a_missing_file_and_a_missing_header_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = Rows::open(dir.path(), "flights").unwrap_err().to_string();
    assert!(
        error.ends_with("flights.csv: no such file, and no flights.csv.gz beside it"),
        "{error}"
    );
    std::fs::write(dir.path().join("flights.csv"), "").unwrap();
    let error = Rows::open(dir.path(), "flights").unwrap_err().to_string();
    assert!(error.ends_with("a header is needed"), "{error}");
    assert_eq!(
        rows("a,b\n").column("c").unwrap_err().to_string(),
        "t.csv:1: no column c"
    );
}
