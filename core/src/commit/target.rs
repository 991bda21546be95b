//! Where an output goes: a file of this machine, or an object that a URL names.

use std::path::{Path, PathBuf};

use super::stores::{self, OutputStore};

/// What is wrong with a path, and what to do.
pub(super) type Wrong = (String, String);

/// The place of an output.
#[derive(Debug)]
pub(super) enum Target {
    /// A file.
    File(PathBuf),
    /// An object, by its URL.
    Object(&'static dyn OutputStore, String),
}

impl Target {
    /// Reads a path or a URL.
    ///
    /// # Errors
    /// The URL cannot be used, or the program has no store for it.
    pub(super) fn of(path: &Path) -> Result<Self, Wrong> {
        // A path that is no UTF-8 is no URL.
        let Some((scheme, rest)) = path.to_str().and_then(scheme) else {
            return Ok(Self::File(path.to_owned()));
        };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            return Ok(Self::File(file(rest)?));
        }
        let store = stores::find(&scheme)?;
        Ok(Self::Object(store, format!("{scheme}://{rest}")))
    }
}

/// The path or URL for people: without a query and a password, which may be secrets.
pub(super) fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let Some((scheme, rest)) = scheme(&text) else {
        return text;
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, tail) = match rest.split_once('/') {
        Some((host, tail)) => (host, format!("/{tail}")),
        None => (rest, String::new()),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{tail}")
}

/// The scheme of a URL, and what follows `://`.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins && scheme.chars().all(fits)).then_some((scheme, rest))
}

/// The path of a `file://` URL, from what follows the scheme.
fn file(rest: &str) -> Result<PathBuf, Wrong> {
    let wrong = |reason: &str| {
        let advice = "write file:///directory/file, or the path itself";
        (reason.to_owned(), advice.to_owned())
    };
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(wrong("it names another machine, or no absolute path"));
    }
    let path = decoded(path).ok_or_else(|| {
        wrong("its percent signs are not followed by the hexadecimal codes of UTF-8")
    })?;
    // On Windows the drive follows the first slash.
    let path = if cfg!(windows) { &path[1..] } else { &path };
    Ok(PathBuf::from(path))
}

/// A text whose percent codes are replaced by what they stand for.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let code = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(code).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(text: &str) -> PathBuf {
        match Target::of(Path::new(text)) {
            Ok(Target::File(path)) => path,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    #[cfg(unix)]
    fn paths_and_file_urls_are_files() {
        assert_eq!(path_of("out/a.csv"), Path::new("out/a.csv"));
        assert_eq!(path_of("a: b://c"), Path::new("a: b://c"));
        assert_eq!(path_of("file:///out/a.csv"), Path::new("/out/a.csv"));
        assert_eq!(path_of("FILE://localhost/a"), Path::new("/a"));
        assert_eq!(path_of("file:///a%20b/%C3%BC"), Path::new("/a b/ü"));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_with_what_to_write() {
        for (url, expected) in [
            ("file://host/a", "another machine"),
            ("file://a", "no absolute path"),
            ("file:///a%2", "percent"),
            ("file:///a%zz", "percent"),
            ("file:///%ff", "percent"),
            ("ftp://host/a", "no store for ftp://"),
        ] {
            match Target::of(Path::new(url)) {
                Err((reason, advice)) => {
                    assert!(reason.contains(expected), "{url}: {reason}");
                    assert!(advice.contains("file"), "{url}: {advice}");
                }
                Ok(target) => panic!("{url}: {target:?}"),
            }
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let shown = |text| shown(Path::new(text));
        assert_eq!(shown("s3://me:secret@b/k?sig=secret"), "s3://b/k");
        assert_eq!(shown("s3://b"), "s3://b");
        assert_eq!(shown("out/a?b#c@d"), "out/a?b#c@d");
    }
}
