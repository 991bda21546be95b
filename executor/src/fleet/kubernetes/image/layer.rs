//! The layer of an image: a tar archive, compressed, that is the same bytes whenever it is made of the same files.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/layer.md>. Entries are sorted and have no times; their owner
//! is root, so that the program cannot change itself.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use flate2::{Compression, GzBuilder, write::GzEncoder};
use tar::{EntryType, Header};

use super::digest::{Digest, Hasher, HashingWriter};
use super::error::{ImageError, because};

/// How hard it is tried to make the layer small, of 9. Of a program of 42 MB one leaves 44 %, two leaves 39 % in twice
/// the time, and the usual six 36 % in three times that.
const LEVEL: u32 = 2;
/// Bytes that are read and written at a time.
const PIECE: usize = 256 << 10;

/// An entry of a layer.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The path in the image, without a slash at its beginning.
    pub(super) path: String,
    /// Its rights.
    pub(super) mode: u32,
    /// What it is.
    pub(super) content: Content,
}

/// What an entry is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Directory,
    /// A file of this machine.
    File(PathBuf),
    /// A file of these bytes.
    Text(String),
}

/// A layer in a file without a name, which vanishes with it.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) file: File,
    /// The digest of the compressed archive: the name of the blob.
    pub(super) digest: Digest,
    /// The digest of the archive itself, which the configuration of the image lists.
    pub(super) diff_id: Digest,
    /// The bytes of the compressed archive.
    pub(super) size: u64,
}

/// A file in the directory of temporary files that has no name, so that nothing is left of a killed master.
pub(super) fn temporary() -> Result<File, ImageError> {
    tempfile::tempfile().map_err(because(format!(
        "no temporary file can be made in {} (set TMPDIR to a directory with room for the program)",
        std::env::temp_dir().display()
    )))
}

/// Makes the layer of these entries, which are sorted by path. It takes seconds for a program of 50 MB, and some
/// hundred kilobytes of memory.
///
/// # Errors
/// A file that cannot be read, or that changed meanwhile, and a full disk.
pub(super) fn pack(entries: &[Entry]) -> Result<Layer, ImageError> {
    let file = temporary()?;
    let full =
        "the layer of the image cannot be written to the directory of temporary files (TMPDIR)";
    let out = HashingWriter::new(BufWriter::with_capacity(PIECE, file));
    // Without a name and a time in the header: the same bytes each time.
    let compressed: GzEncoder<_> = GzBuilder::new().write(out, Compression::new(LEVEL));
    let mut archive = tar::Builder::new(HashingWriter::new(compressed));
    for entry in entries {
        let what = format!("{} cannot be added to the image", entry.source());
        add(&mut archive, entry).map_err(because(what))?;
    }
    let finished = archive.into_inner().and_then(|archive| {
        let (compressed, diff) = archive.into_parts();
        let (buffered, blob) = compressed.finish()?.into_parts();
        let mut file = buffered
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok((file, diff, blob))
    });
    let (file, diff, blob): (File, Hasher, Hasher) = finished.map_err(because(full))?;
    let size = blob.bytes();
    Ok(Layer {
        file,
        digest: blob.finish(),
        diff_id: diff.finish(),
        size,
    })
}

fn add<W: Write>(archive: &mut tar::Builder<W>, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(EntryType::Regular);
    match &entry.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            archive.append_data(&mut header, format!("{}/", entry.path), io::empty())
        }
        Content::Text(text) => {
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, &entry.path, text.as_bytes())
        }
        Content::File(path) => {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            header.set_size(size);
            let mut file = BufReader::with_capacity(PIECE, file).take(size);
            archive.append_data(&mut header, &entry.path, &mut file)?;
            // A shorter file would shift everything behind it.
            match file.limit() {
                0 => Ok(()),
                left => Err(io::Error::other(format!(
                    "it became {left} bytes shorter meanwhile"
                ))),
            }
        }
    }
}

impl Entry {
    pub(super) fn directory(path: &str, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            content: Content::Directory,
        }
    }

    pub(super) fn text(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode: 0o644,
            content: Content::Text(text.to_owned()),
        }
    }

    fn source(&self) -> String {
        match &self.content {
            Content::File(path) => path.display().to_string(),
            Content::Directory | Content::Text(_) => self.path.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
