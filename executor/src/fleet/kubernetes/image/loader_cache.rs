//! The file `/etc/ld.so.cache`, in which glibc's loader finds libraries by their names.
//!
//! <https://sourceware.org/git/?p=glibc.git;a=blob;f=sysdeps/generic/dl-cache.h>: a header of 48 bytes, entries of 24
//! bytes, and a table of texts; all offsets are from the header's beginning, which may be behind a table of the old
//! format.

use std::collections::HashMap;
use std::path::PathBuf;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The paths of libraries, by name, in the file's order. Variants for newer processors are left out: another node may
/// have an older one. A file that cannot be read has none.
pub(super) fn parse(file: &[u8]) -> HashMap<String, Vec<PathBuf>> {
    let mut found: HashMap<String, Vec<PathBuf>> = HashMap::new();
    let start = file.windows(MAGIC.len()).position(|window| window == MAGIC);
    let Some(cache) = start.map(|start| &file[start..]) else {
        return found;
    };
    let count = word(cache, MAGIC.len()).unwrap_or(0) as usize;
    let entries = cache.get(HEADER..).unwrap_or_default().chunks_exact(ENTRY);
    for entry in entries.take(count) {
        let plain = entry[16..24].iter().all(|byte| *byte == 0);
        let named = text(cache, word(entry, 4)).zip(text(cache, word(entry, 8)));
        if let Some((name, path)) = named.filter(|_| plain) {
            found.entry(name).or_default().push(path.into());
        }
    }
    found
}

/// In the byte order of this machine, which is that of its own cache.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn text(cache: &[u8], at: Option<u32>) -> Option<String> {
    let rest = cache.get(at? as usize..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with these names, paths and capabilities.
    fn made(entries: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut texts = Vec::new();
        let base = HEADER + entries.len() * ENTRY;
        let mut add = |text: &str| {
            let at = (base + texts.len()) as u32;
            texts.extend(text.bytes().chain([0]));
            at.to_ne_bytes()
        };
        let mut rows = Vec::new();
        for (name, path, capabilities) in entries {
            rows.extend(3_u32.to_ne_bytes());
            rows.extend(add(name));
            rows.extend(add(path));
            rows.extend(0_u32.to_ne_bytes());
            rows.extend(capabilities.to_ne_bytes());
        }
        let mut cache = MAGIC.to_vec();
        cache.extend((entries.len() as u32).to_ne_bytes());
        cache.resize(HEADER, 0);
        cache.extend(rows);
        cache.extend(texts);
        cache
    }

    #[test]
    fn libraries_are_found_by_name_without_those_of_newer_processors() {
        let cache = made(&[
            (
                "libz.so.1",
                "/lib/glibc-hwcaps/x86-64-v3/libz.so.1",
                1 << 62,
            ),
            ("libz.so.1", "/lib/libz.so.1", 0),
            ("libz.so.1", "/lib32/libz.so.1", 0),
            ("liba.so", "/opt/liba.so", 0),
        ]);
        let behind_the_old_format = [b"ld.so-1.7.0\0....".as_slice(), &cache].concat();
        for file in [cache, behind_the_old_format] {
            let found = parse(&file);
            let paths = |name: &str| {
                found[name]
                    .iter()
                    .map(|it| it.display().to_string())
                    .collect::<Vec<_>>()
            };
            assert_eq!(paths("libz.so.1"), ["/lib/libz.so.1", "/lib32/libz.so.1"]);
            assert_eq!(paths("liba.so"), ["/opt/liba.so"]);
        }
    }

    #[test]
    fn a_damaged_cache_has_no_libraries() {
        let cache = made(&[("liba.so", "/opt/liba.so", 0)]);
        for cut in 0..cache.len() {
            assert!(parse(&cache[..cut]).is_empty(), "{cut}");
        }
        let mut many = cache;
        many[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(parse(&many).len(), 1);
    }
}
