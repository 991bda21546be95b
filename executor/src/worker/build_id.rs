//! The build of a program, by which workers of an older image are detected whose tasks have the same shapes.

use std::env::consts::{ARCH, OS};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use object::Object;
use object::read::ReadCache;

/// The build of this program: its target, a space, and its id. The id is the GNU build-id note where the linker wrote
/// one, else a hash of the file: <https://sourceware.org/binutils/docs/ld/Options.html> (`--build-id`). Reading takes
/// some microseconds for a note, and about a millisecond for each MiB without.
///
/// # Errors
/// When the file of this program cannot be read.
pub(crate) fn of_this_program() -> io::Result<String> {
    // On Linux it is the file that was started, also if another file has its path by now.
    // <https://man7.org/linux/man-pages/man5/proc_pid_exe.5.html>
    let program = match cfg!(target_os = "linux") {
        true => Path::new("/proc/self/exe").to_owned(),
        false => std::env::current_exe()?,
    };
    let id = match note(&program)? {
        Some(note) => note,
        None => hash(&program)?,
    };
    Ok(format!("{} {id}", target()))
}

fn target() -> String {
    let environment = if cfg!(target_env = "musl") {
        "-musl"
    } else if cfg!(target_env = "gnu") {
        "-gnu"
    } else {
        ""
    };
    format!("{ARCH}-{OS}{environment}")
}

fn note(program: &Path) -> io::Result<Option<String>> {
    let parts = ReadCache::new(File::open(program)?);
    let note = object::File::parse(&parts).and_then(|file| Ok(file.build_id()?.map(hex)));
    // A file of another format has no note.
    Ok(note.ok().flatten())
}

fn hash(program: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(program)?, &mut hasher)?;
    Ok(hex(&hasher.finalize().as_bytes()[..20]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_one_build_and_another_file_another() {
        let build = of_this_program().unwrap();
        assert_eq!(build, of_this_program().unwrap());
        let (target, id) = build.split_once(' ').unwrap();
        assert!(target.starts_with(ARCH), "{build}");
        assert!(id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let other = tempfile("something that is no program");
        assert_eq!(note(&other).unwrap(), None);
        assert_ne!(hash(&other).unwrap(), hash(&tempfile("another")).unwrap());
        assert!(note(Path::new("/nowhere")).is_err());
    }

    fn tempfile(text: &str) -> std::path::PathBuf {
        let name = format!("podpool-build-{}-{}", std::process::id(), text.len());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
