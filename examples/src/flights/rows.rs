//! The rows of one CSV file, gzip or plain: line by line, with line numbers, never the whole text at once.
//!
//! A line is a row even when a quote in it is not closed: otherwise one damaged line would swallow those after
//! it, and their days would lose flights without a word.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use flate2::bufread::MultiGzDecoder;

use super::fault::Fault;

/// Compressed and uncompressed bytes are read in pieces of this size.
const BUFFER: usize = 128 * 1024;

/// How every gzip file begins.
// RFC 1952, section 2.3.1. <https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1>
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An open file, past its header.
pub(crate) struct Rows {
    file: Arc<Path>,
    lines: Box<dyn BufRead>,
    line: Vec<u8>,
    /// The number of the line in `line`.
    number: u64,
    /// The line in `line` was read while looking past empty ones, and is yet to be given out.
    held: bool,
    splitter: Splitter,
    header: Vec<String>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("file", &self.file)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Rows {
    /// Opens `name.csv` or `name.csv.gz` in a directory and reads its header.
    ///
    /// # Errors
    /// No such file, not readable, or without a header.
    pub(crate) fn open(dir: &Path, name: &str) -> Result<Self, Fault> {
        let (path, file) = find(dir, name)?;
        Self::read(path.into(), BufReader::with_capacity(BUFFER, file))
    }

    /// Reads the header of an open file; `file` is its name in faults.
    ///
    /// # Errors
    /// Not readable, or without a header.
    pub(crate) fn read(file: Arc<Path>, bytes: impl BufRead + 'static) -> Result<Self, Fault> {
        let unreadable = |error: io::Error| Fault::of_file(Arc::clone(&file), error.to_string());
        let lines = decompressed(bytes).map_err(unreadable)?;
        let mut rows = Self {
            file,
            lines,
            line: Vec::with_capacity(256),
            number: 0,
            held: false,
            splitter: Splitter::new(),
            header: Vec::new(),
        };
        let Some(first) = rows.next()? else {
            return Err(Fault::of_file(
                rows.file,
                "the file is empty; a header is needed",
            ));
        };
        let header = first.header();
        rows.header = header;
        Ok(rows)
    }

    /// The column of this name, if the file has it.
    pub(crate) fn find_column(&self, name: &'static str) -> Option<Column> {
        let index = self.header.iter().position(|column| column == name)?;
        Some(Column { name, index })
    }

    /// The column of this name.
    ///
    /// # Errors
    /// The header doesn't name it.
    pub(crate) fn column(&self, name: &'static str) -> Result<Column, Fault> {
        self.find_column(name)
            .ok_or_else(|| Fault::of_line(Arc::clone(&self.file), 1, format!("no column {name}")))
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// The file can't be read on; nothing is known of the rows that follow.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, Fault> {
        let mut empty = None;
        if !std::mem::take(&mut self.held) {
            loop {
                if !self.next_line()? {
                    return Ok(None);
                }
                if !self.line.is_empty() {
                    break;
                }
                empty.get_or_insert(self.number);
            }
        }
        // An empty line is a fault only if a row follows it: many files end with one.
        self.held = empty.is_some();
        let line: &[u8] = if self.held { &[] } else { &self.line };
        let closed = self.splitter.split(line);
        Ok(Some(Row {
            file: &self.file,
            number: empty.unwrap_or(self.number),
            expected: self.header.len(),
            closed,
            fields: &self.splitter.fields[..],
            ends: &self.splitter.ends[..self.splitter.count],
        }))
    }

    /// Reads a line without its end; false at the end of the file.
    fn next_line(&mut self) -> Result<bool, Fault> {
        self.line.clear();
        let read = self.lines.read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => return Ok(false),
            Ok(_) => self.number += 1,
            Err(error) => return Err(Fault::of_reading(&self.file, self.number, &error)),
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            // Files that were written on Windows.
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        Ok(true)
    }
}

/// Looks for the plain file first, then for the compressed one.
fn find(dir: &Path, name: &str) -> Result<(PathBuf, File), Fault> {
    let plain = dir.join(format!("{name}.csv"));
    for path in [plain.clone(), dir.join(format!("{name}.csv.gz"))] {
        match File::open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Fault::of_file(path, error.to_string())),
        }
    }
    Err(Fault::missing(&plain))
}

/// The file's text, decompressed if its first bytes say so.
fn decompressed(mut bytes: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let gzip = bytes.fill_buf()?.starts_with(&GZIP);
    Ok(if gzip {
        // Multi: a file that was compressed in pieces, or appended to, has several members.
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(bytes)))
    } else {
        Box::new(bytes)
    })
}

/// A column by name and place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) index: usize,
}

/// One row, its quotes taken off.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    file: &'a Arc<Path>,
    number: u64,
    expected: usize,
    closed: bool,
    fields: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Row<'a> {
    /// The bytes of a field; `None` when the row is too short.
    pub(crate) fn field(&self, index: usize) -> Option<&'a [u8]> {
        let end = *self.ends.get(index)?;
        // A field begins where the one before it ends; quotes and separators are not in the buffer.
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.fields.get(start..end)
    }

    /// Checks that the row has as many fields as the header, and that its quotes are closed.
    pub(crate) fn check_form(&self) -> Result<(), String> {
        if !self.closed {
            return Err("a quote is not closed".to_owned());
        }
        match (self.ends.len(), self.expected) {
            (found, expected) if found == expected => Ok(()),
            (1, expected) => Err(format!("1 field where {expected} are expected")),
            (found, expected) => Err(format!("{found} fields where {expected} are expected")),
        }
    }

    /// A fault of this row.
    pub(crate) fn fault(&self, reason: String) -> Fault {
        Fault::of_line(Arc::clone(self.file), self.number, reason)
    }

    /// The names of the columns. Some programs begin a file with a byte order mark.
    fn header(&self) -> Vec<String> {
        (0..self.ends.len())
            .filter_map(|index| self.field(index))
            .map(|name| String::from_utf8_lossy(name))
            .map(|name| name.trim_start_matches('\u{feff}').to_owned())
            .collect()
    }
}

/// Splits a line into fields; its buffers are kept from line to line.
#[derive(Debug)]
struct Splitter {
    reader: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

impl Splitter {
    fn new() -> Self {
        Self {
            reader: ReaderBuilder::new()
                .terminator(Terminator::Any(b'\n'))
                .build(),
            fields: vec![0; 256],
            ends: vec![0; 32],
            count: 0,
        }
    }

    /// Splits one line; false when a quote is not closed. An empty line is one empty field.
    fn split(&mut self, line: &[u8]) -> bool {
        if line.is_empty() {
            self.ends[0] = 0;
            self.count = 1;
            return true;
        }
        // Neither can have more parts than the line has bytes, so the buffers always suffice.
        self.fields.resize(self.fields.len().max(line.len() + 1), 0);
        self.ends.resize(self.ends.len().max(line.len() + 2), 0);
        self.reader.reset();
        let (_, _, written, ended) =
            self.reader
                .read_record(line, &mut self.fields, &mut self.ends);
        // The line's end is fed apart: after an open quote it doesn't end the record.
        let (result, _, _, last) =
            self.reader
                .read_record(b"\n", &mut self.fields[written..], &mut self.ends[ended..]);
        let closed = result == ReadRecordResult::Record;
        if !closed {
            // What follows the open quote counts as one field, so that what is before it can be read.
            self.ends[ended] = written;
        }
        self.count = ended + if closed { last } else { 1 };
        closed
    }
}

#[cfg(test)]
mod tests {
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
}
