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

/// The file's text, decompressed if its first bytes are those of gzip.
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
        // The line's end is fed separately: after an open quote the reader takes a line's end as part of the field.
        let (result, _, _, last) =
            self.reader
                .read_record(b"\n", &mut self.fields[written..], &mut self.ends[ended..]);
        let closed = result == ReadRecordResult::Record;
        if !closed {
            // The text after the open quote counts as one field, so that the fields before that quote can be read.
            self.ends[ended] = written;
        }
        self.count = ended + if closed { last } else { 1 };
        closed
    }
}

#[cfg(test)]
mod tests;
