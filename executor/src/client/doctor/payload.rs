//! The store of large payloads. It is written to only where that is permitted.

use crate::doctor::{Line, Permits, bounded};

const STORE: &str = "payload.store";

pub(crate) async fn look(url: Option<String>, permits: Permits) -> Vec<Line> {
    let Some(url) = url else {
        let why = "none is set: payloads that no message carries are Rejected";
        return vec![Line::skipped(STORE, why)];
    };
    let late = |why| Line::fail(STORE, why, None);
    bounded(late, ask(url, permits)).await
}

#[cfg(not(feature = "payload"))]
#[expect(
    clippy::unused_async,
    reason = "the store that is not compiled in would wait"
)]
async fn ask(_: String, _: Permits) -> Vec<Line> {
    let fix = "podpool = { features = [\"payload\"] }".to_owned();
    let seen = "a payload store needs podpool's feature `payload`";
    vec![Line::fail(STORE, seen, fix)]
}

#[cfg(feature = "payload")]
async fn ask(url: String, permits: Permits) -> Vec<Line> {
    use podpool_core::id::RunId;

    use crate::broker::payload::{PayloadError, PayloadStore};

    if let Some(line) = fresh_directory(&url) {
        return vec![line];
    }
    let looked: Result<(String, &str), PayloadError> = async {
        if permits.probe_objects {
            let store = PayloadStore::open(&url, &RunId::random())?;
            store.check().await?;
            let name = store.name().to_owned();
            Ok((name, "an object was written, read and deleted"))
        } else {
            let store = PayloadStore::open(&url, &RunId::random())?;
            PayloadStore::runs(&url).await?;
            let name = store.name().to_owned();
            Ok((
                name,
                "it can be listed; whether it may be written to was not tried",
            ))
        }
    }
    .await;
    let line = match looked {
        Ok((name, seen)) => Line::pass(STORE, format!("{name}: {seen}")),
        // Each of its texts ends with what to do.
        Err(error) => Line::fail(STORE, error.to_string(), None),
    };
    vec![line]
}

/// A directory that does not exist: to open it would make it.
#[cfg(feature = "payload")]
fn fresh_directory(url: &str) -> Option<Line> {
    let path = url::Url::parse(url).ok()?;
    if path.scheme() != "file" {
        return None;
    }
    let path = path.to_file_path().ok().filter(|path| !path.exists())?;
    let seen = format!("{} does not exist; a run makes it", path.display());
    Some(Line::pass(STORE, seen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[tokio::test]
    async fn no_store_is_skipped() {
        let lines = look(None, Permits::none()).await;
        assert_eq!(lines[0].outcome, Outcome::Skipped);
    }

    #[cfg(feature = "payload")]
    #[tokio::test]
    async fn a_directory_is_listed_and_written_to_only_by_permission() {
        let root = std::env::temp_dir().join(format!("podpool-doctor-{:x}", fastrand::u64(..)));
        let url = format!("file://{}", root.display());
        let lines = look(Some(url.clone()), Permits::none()).await;
        assert_eq!(lines[0].outcome, Outcome::Pass, "{lines:?}");
        assert!(!root.exists());
        std::fs::create_dir(&root).unwrap();
        let lines = look(Some(url.clone()), Permits::none()).await;
        assert!(lines[0].seen.contains("listed"), "{lines:?}");
        let lines = look(Some(url), Permits::none().probe_objects()).await;
        assert!(lines[0].seen.contains("deleted"), "{lines:?}");
        // An empty directory: the probe is gone.
        std::fs::remove_dir(&root).unwrap();
        let lines = look(Some("ftp://host/x".to_owned()), Permits::none()).await;
        assert_eq!(lines[0].outcome, Outcome::Fail);
    }
}
