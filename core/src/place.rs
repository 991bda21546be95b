//! Where a worker runs, as its fleet reports it, beside the names of the worker and of its node.

use std::fmt;
use std::sync::Arc;

/// Where a worker runs: what its fleet knows of it. A field is empty where that is not known; on one machine all are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct WorkerPlace {
    /// Its pod.
    pub pod: Option<Arc<str>>,
    /// The zone of its node.
    pub zone: Option<Arc<str>>,
    /// Whether its node is one that the provider may take away at any time: a spot or preemptible machine.
    pub spot: Option<bool>,
    /// The digest of the image that it runs: `sha256:` and 64 digits.
    pub image: Option<Arc<str>>,
}

/// The known facts beside the names of worker and node, as parts of a list: `zone europe-west4-a, spot, image
/// sha256:0123456789ab`. Empty where none is known.
impl fmt::Display for WorkerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.as_ref().map(|zone| format!("zone {zone}"));
        let spot = self.spot.filter(|spot| *spot).map(|_| "spot".to_owned());
        let image = self.image.as_deref().map(brief);
        let image = image.map(|image| format!("image {image}"));
        let known: Vec<_> = [zone, spot, image].into_iter().flatten().collect();
        f.write_str(&known.join(", "))
    }
}

/// A digest with its first 12 digits, as tools of images show it.
fn brief(digest: &str) -> &str {
    let digits = digest.find(':').map_or(0, |colon| colon + 1);
    digest.get(..digits + 12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_what_is_known_and_no_more() {
        let mut place = WorkerPlace::default();
        assert_eq!(place.to_string(), "");
        place.pod = Some("pp-year-c0-0-x7k2p".into());
        place.spot = Some(false);
        assert_eq!(
            place.to_string(),
            "",
            "the pod has the worker's name, and most nodes are no spot"
        );
        place.spot = Some(true);
        assert_eq!(place.to_string(), "spot");
        place.zone = Some("europe-west4-a".into());
        place.image = Some(format!("sha256:{}", "0123456789abcdef".repeat(4)).into());
        assert_eq!(
            place.to_string(),
            "zone europe-west4-a, spot, image sha256:0123456789ab"
        );
        place.image = Some("sha256:é".into());
        assert!(place.to_string().ends_with("image sha256:é"));
    }
}
