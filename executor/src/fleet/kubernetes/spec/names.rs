//! What Kubernetes accepts as a name, a key, a value or a path, and which known name an unknown one resembles.

use super::row::{Check, Wrong};

/// Variables that the fleet itself gives to workers.
pub(super) const RESERVED: &str = "PODPOOL_";
/// The prefix of the fleet's own labels and annotations.
const OURS: &str = "podpool.dev";

/// How alike two names must be, of 1, for one to be meant by the other: as for variables, in `variables.rs`.
const ALIKE: f64 = 0.7;

/// `; is NAME meant?` for the known name that is most like this one, or nothing.
pub(super) fn meant(name: &str, known: &[&str]) -> String {
    let alike = |known: &&str| strsim::normalized_damerau_levenshtein(name, known);
    let best = known
        .iter()
        .map(|known| (alike(known), *known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match best {
        Some((score, known)) if score >= ALIKE => format!("; is {known} meant?"),
        _ => String::new(),
    }
}

/// The name of most objects: dots are for the longer kind only.
// A label of RFC 1123 has 63 characters and no dot; a subdomain has 253.
// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
pub(super) fn is_object(name: &str, longest: usize) -> bool {
    let dots = longest > 63;
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
            && bytes.first().copied().is_some_and(edge)
            && bytes.last().copied().is_some_and(edge)
    };
    name.len() <= longest && name.split('.').all(part) && (dots || !name.contains('.'))
}

/// Refuses what is no name of an object.
pub(super) fn object(name: &str, longest: usize) -> Check {
    if is_object(name, longest) {
        return Ok(());
    }
    let dot = if longest > 63 { ", '.'" } else { "" };
    Err(Wrong::new(
        name,
        format!(
            "use at most {longest} lower-case letters, digits{dot} and '-', with a letter or digit at both ends"
        ),
    ))
}

/// The same for all of these, of at most 253 characters.
pub(super) fn objects<'a>(names: impl IntoIterator<Item = &'a String>) -> Check {
    names.into_iter().try_for_each(|name| object(name, 253))
}

/// The name part of a label's key, or a label's value: letters, digits, `-`, `_`, `.`, at most 63.
// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
fn is_label_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    word.len() <= 63
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// Prefix and name of a key.
fn split(key: &str) -> (Option<&str>, &str) {
    key.split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name))
}

/// The key of a label, an annotation, a taint or a resource.
pub(super) fn key(key: &str) -> Check {
    let (prefix, name) = split(key);
    if is_label_word(name) && prefix.is_none_or(|prefix| is_object(prefix, 253)) {
        return Ok(());
    }
    let reason = "a key is at most 63 letters, digits, '-', '_', '.', after a DNS name and '/' if it has a prefix";
    Err(Wrong::new(key, reason))
}

/// The value of a label.
pub(super) fn value(key: &str, value: &str) -> Check {
    if value.is_empty() || is_label_word(value) {
        return Ok(());
    }
    let reason = format!(
        "the value of {key} may have at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends"
    );
    Err(Wrong::new(value, reason))
}

/// Whether a key is one of the fleet's own.
pub(crate) fn is_ours(key: &str) -> bool {
    let (prefix, _) = split(key);
    prefix.is_some_and(|prefix| prefix == OURS || prefix.ends_with(".podpool.dev"))
        || key == "app.kubernetes.io/managed-by"
}

/// A label that users may set.
pub(super) fn label(name: &str, set: &str) -> Check {
    key(name)?;
    let (prefix, _) = split(name);
    // The controller of Jobs sets these on pods, and the API refuses a Job whose template has others.
    let jobs = matches!(name, "controller-uid" | "job-name");
    let reserved = |prefix: &str| {
        prefix == "kubernetes.io" || prefix == "batch.kubernetes.io" || prefix.ends_with("k8s.io")
    };
    if is_ours(name) || jobs || prefix.is_some_and(reserved) {
        let reason = "this key belongs to the fleet or to Kubernetes; choose another";
        return Err(Wrong::new(name, reason));
    }
    value(name, set)
}

/// An annotation that users may set. Its value is any text.
pub(super) fn annotation(name: &str) -> Check {
    key(name)?;
    if is_ours(name) {
        let reason = "this key belongs to the fleet; choose another";
        return Err(Wrong::new(name, reason));
    }
    Ok(())
}

/// A variable of workers. Its value may be a secret: it is not shown.
// The characters that every version of Kubernetes accepts in the name of a variable.
// <https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/>
pub(super) fn variable(name: &str, set: &str) -> Check {
    let sound = !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !sound {
        let reason = "a name has letters, digits, '_', '-' and '.', and begins with no digit";
        return Err(Wrong::new(name, reason));
    }
    if name.starts_with(RESERVED) {
        let reason = "names that begin with PODPOOL_ are given to workers by the fleet";
        return Err(Wrong::new(name, reason));
    }
    if set.contains('\0') {
        let reason = "its value holds a zero byte, which no process can be given";
        return Err(Wrong::new(name, reason));
    }
    Ok(())
}

/// A key of a secret or a config map. <https://kubernetes.io/docs/concepts/configuration/secret/>
pub(super) fn data_key(key: &str) -> Check {
    let sound = !key.is_empty()
        && key.len() <= 253
        && !matches!(key, "." | "..")
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if sound {
        return Ok(());
    }
    let reason = "keys of secrets and config maps have letters, digits, '-', '_' and '.'";
    Err(Wrong::new(key, reason))
}

/// Whether `path` is this directory or below it.
pub(crate) fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An absolute path in a worker, outside of the fleet's own directory and of `/tmp`.
// Both are volumes of the pod already; a second mount there would hide the run's Secret or the only writable directory.
pub(super) fn file(path: &str) -> Check {
    if is_path(path) && !is_within(path, "/tmp") {
        return Ok(());
    }
    let reason = "use an absolute path without '..' and ':', outside of /tmp and /etc/podpool";
    Err(Wrong::new(path, reason))
}

/// The same for a directory, which may be `/tmp` itself.
pub(super) fn directory(path: &str) -> Check {
    if is_path(path) && (path == "/tmp" || !is_within(path, "/tmp")) {
        return Ok(());
    }
    let reason =
        "use an absolute path without '..' and ':', outside of /etc/podpool and not below /tmp";
    Err(Wrong::new(path, reason))
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() > 1
        && !path.ends_with('/')
        && !path.contains([':', '\0'])
        && !path[1..].split('/').any(|part| matches!(part, "" | "." | ".."))
        // A volume there would hide the run's Secret, which is below.
        && !is_within(path, "/etc/podpool")
        && path != "/etc"
}

/// An image's name.
pub(super) fn image(image: &str) -> Check {
    let sound = !image.is_empty()
        && image.len() <= 1024
        && image.bytes().all(|byte| byte.is_ascii_graphic());
    if sound {
        return Ok(());
    }
    let reason = "use a name such as registry.example/team/backfill:1.4";
    Err(Wrong::new(image, reason))
}
