//! The workers' image, by its name alone: no registry is called.

use k8s_openapi::api::core::v1::PodSpec;

use crate::doctor::Line;

const IMAGE: &str = "kubernetes.image";

/// Judges the image of the first container, and when nodes pull it.
pub(super) fn judge(pod: &PodSpec) -> Line {
    let container = pod.containers.first();
    let image = container.and_then(|it| it.image.as_deref()).unwrap_or("");
    let policy = container.and_then(|it| it.image_pull_policy.as_deref());
    let option = || {
        "correct KubernetesOptions::image (PODPOOL_IMAGE), such as registry.example/team/backfill:1.4".to_owned()
    };
    let Some(reference) = Reference::read(image) else {
        let seen = format!("{image:?} is no name of an image");
        return Line::fail(IMAGE, seen, option());
    };
    if policy == Some("Never") {
        let seen = format!("{image}, which nodes never pull: it must be on every node");
        let fix = "leave out KubernetesOptions::pull_policy (PODPOOL_PULL_POLICY) unless the image is loaded onto nodes";
        return Line::warn(IMAGE, seen, fix.to_owned());
    }
    if reference.moves {
        let seen = format!(
            "{image} has no fixed tag: a later worker may be of another build than this program"
        );
        return Line::warn(IMAGE, seen, option());
    }
    Line::pass(IMAGE, image)
}

struct Reference {
    /// It has the tag `latest`, or none, and no digest.
    moves: bool,
}

impl Reference {
    /// Reads `[registry[:port]/]path[:tag][@algorithm:digest]`.
    /// <https://github.com/distribution/reference/blob/main/reference.go>
    fn read(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if !digest.is_none_or(is_digest) {
            return None;
        }
        // A colon after the last slash begins a tag; one before it, the registry's port.
        let start = name.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match name[start..].split_once(':') {
            Some((short, tag)) => (&name[..start + short.len()], Some(tag)),
            None => (name, None),
        };
        let mut parts = path.split('/').peekable();
        let first = parts.peek().copied().unwrap_or_default();
        let registry = path.contains('/')
            && (first.contains(['.', ':']) || first == "localhost" || has_upper(first));
        if registry {
            parts.next().filter(|host| is_host(host))?;
        }
        let sound = parts.all(is_component) && tag.is_none_or(is_tag);
        let moves = digest.is_none() && matches!(tag, None | Some("latest"));
        sound.then_some(Self { moves })
    }
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.bytes().all(sound) && port.parse::<u16>().is_ok()
}

/// Lower-case letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(part: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().copied().is_some_and(edge)
        && bytes.last().copied().is_some_and(edge)
        && bytes
            .iter()
            .all(|byte| edge(*byte) || matches!(byte, b'.' | b'_' | b'-'))
        && !part.contains("..")
        && !part.contains("___")
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= 128
        && bytes.first().copied().is_some_and(word)
        && bytes
            .iter()
            .all(|byte| word(*byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let known = match algorithm {
            "sha256" => hex.len() == 64,
            "sha512" => hex.len() == 128,
            _ => hex.len() >= 32,
        };
        known && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Outcome;

    fn outcome(image: &str, policy: Option<&str>) -> Outcome {
        let container = json!({"name": "worker", "image": image, "imagePullPolicy": policy});
        let pod = serde_json::from_value(json!({"containers": [container]})).unwrap();
        judge(&pod).outcome
    }

    #[test]
    fn names_of_images_are_read_as_registries_read_them() {
        let digest = format!("prices@sha256:{}", "0a".repeat(32));
        for image in [
            "prices:1",
            "registry.example/team/backfill:1.4",
            "localhost:5000/a/b-c__d:v_1",
            "europe-docker.pkg.dev/p/r/i:2026.11",
            &digest,
        ] {
            assert_eq!(outcome(image, None), Outcome::Pass, "{image}");
        }
        for image in ["prices", "registry.example:5000/prices", "prices:latest"] {
            assert_eq!(outcome(image, None), Outcome::Warn, "{image}");
        }
        for image in [
            "",
            "Prices:1",
            "a//b:1",
            "a/b:",
            "a:b:c",
            "x@sha256:12",
            "https://registry.example/a:1",
            "registry.example/-a:1",
            "registry.example:port/a:1",
        ] {
            assert_eq!(outcome(image, None), Outcome::Fail, "{image}");
        }
    }

    #[test]
    fn an_image_that_is_never_pulled_is_noted() {
        assert_eq!(outcome("prices:1", Some("Never")), Outcome::Warn);
        assert_eq!(outcome("prices:1", Some("IfNotPresent")), Outcome::Pass);
    }
}
