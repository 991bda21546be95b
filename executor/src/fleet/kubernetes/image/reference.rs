//! Names of registries, repositories and images.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests> has the rules.

use std::fmt;

use super::digest::Digest;

/// Where Docker Hub's API is; everything else about it is called `docker.io`.
const HUB_API: &str = "registry-1.docker.io";
/// The names of Docker Hub.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", HUB_API];
/// Longest name of a repository.
const LONGEST: usize = 255;
/// The name of a program that has no usable letter.
const UNNAMED: &str = "program";

/// A repository of a registry, or the beginning of repositories' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The registry: `host` or `host:port`, as it was named; `docker.io` for Docker Hub.
    pub(super) registry: String,
    /// The repository's name, without the registry.
    pub(super) repository: String,
}

/// An image by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseImage {
    pub(super) place: Place,
    pub(super) digest: Digest,
}

impl Place {
    /// A registry, and where there is one the beginning of the names of repositories: `registry.example/team`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn registry(text: &str) -> Result<Self, String> {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        if !is_host(host) {
            let reason = "begin with the registry's host, such as registry.example/team, docker.io/team or localhost:5000";
            return Err(reason.to_owned());
        }
        let path = path.trim_end_matches('/');
        if !path.is_empty() {
            check_repository(path)?;
        }
        Ok(Self {
            registry: registry_name(host),
            repository: path.to_owned(),
        })
    }

    /// The repository of a program in this place.
    pub(super) fn of_program(&self, name: &str) -> Self {
        let name = component(name);
        let repository = match &*self.repository {
            "" => name,
            path => format!("{path}/{name}"),
        };
        Self {
            registry: self.registry.clone(),
            repository,
        }
    }

    /// The host of the registry's API, with its port.
    pub(super) fn api(&self) -> &str {
        match &*self.registry {
            "docker.io" => HUB_API,
            host => host,
        }
    }
}

/// As nodes pull from it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

impl BaseImage {
    /// An image by its digest: `debian@sha256:…`, `registry.example/base:1@sha256:…`. A tag has no effect.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let by_digest = "name it by its digest, such as gcr.io/distroless/cc-debian12@sha256:…: a tag may move, and with it what workers run on; `docker buildx imagetools inspect NAME` prints the digest";
        let (name, digest) = text.split_once('@').ok_or(by_digest)?;
        let digest = Digest::parse(digest).ok_or_else(|| {
            format!("{digest:?} is no digest: write sha256: and 64 hexadecimal digits")
        })?;
        // A tag stands behind the last slash; a colon before it begins a port.
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (registry_name(host), path.to_owned()),
            // Docker Hub, as Docker reads such names: its own images are in `library`.
            Some(_) => (registry_name(HUB[0]), name.to_owned()),
            None => (registry_name(HUB[0]), format!("library/{name}")),
        };
        check_repository(&path)?;
        Ok(Self {
            place: Place {
                registry,
                repository: path,
            },
            digest,
        })
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.place, self.digest)
    }
}

/// The registry of this host under the name that everything else uses.
pub(super) fn registry_name(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match HUB.contains(&&*host) {
        true => HUB[0].to_owned(),
        false => host,
    }
}

/// Whether a text is a host, with or without a port, as Docker tells it from the first part of a path.
pub(crate) fn is_host(text: &str) -> bool {
    let named = text.contains(['.', ':']) || text == "localhost";
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address is in brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let sound = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            !host.is_empty() && host.bytes().all(letters)
        }
    };
    named && sound && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn check_repository(path: &str) -> Result<(), String> {
    if path.len() > LONGEST - 64 {
        return Err(format!("{path:?} is too long for a repository"));
    }
    match path.split('/').find(|part| !is_component(part)) {
        None => Ok(()),
        Some(part) => Err(format!(
            "{part:?} cannot be a part of a repository's name: use lower-case letters and digits, with '.', '_' or '-' between them"
        )),
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().copied().is_some_and(word) && bytes.last().copied().is_some_and(word);
    let between = part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        });
    ends && between
}

/// A program's name as a part of a repository's.
pub(super) fn component(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let words: Vec<_> = lower
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .collect();
    let mut joined = words.join("-");
    joined.truncate(60);
    match joined.trim_end_matches('-') {
        "" => UNNAMED.to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
