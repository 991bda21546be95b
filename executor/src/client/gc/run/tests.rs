//! Runs of a ledger on this machine; those on a cluster need one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use podpool_core::id::RunName;
use podpool_core::ledger::{Ledger as _, Master, Opened, Opening, Which as Opens};

use crate::ledger::SqliteLedger;

use super::*;

/// A directory that is removed at the end of a test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("podpool-gc-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn begun(directory: &Path) -> Opened {
    let opening = Opening {
        which: Opens::Named {
            name: RunName::new("nightly").unwrap(),
            fresh: RunId::new("nightly-0").unwrap(),
            mac_key: [7; 32],
        },
        master: Master {
            settings: vec![("back-end".to_owned(), "local".to_owned())],
            ..Master::default()
        },
        take_over: false,
        now: SystemTime::UNIX_EPOCH,
    };
    SqliteLedger::new(directory).open(&opening).unwrap()
}

#[tokio::test]
async fn a_run_of_this_machine_is_removed_by_its_name_and_needs_no_cluster() {
    let directory = Scratch::new();
    let ledger = Ledger::open(&directory.0);
    drop(begun(&directory.0));
    let removed = remove_run(&Places::new(), &ledger, "nightly")
        .await
        .unwrap();
    assert!(
        removed.forgotten && removed.failed.is_empty(),
        "{removed:?}"
    );
    assert!(ledger.runs().unwrap().is_empty());
    let error = remove_run(&Places::new(), &ledger, "nightly").await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("no run \"nightly\""), "{text}");
}

#[tokio::test]
async fn a_run_whose_master_lives_is_not_removed() {
    let directory = Scratch::new();
    let ledger = Ledger::open(&directory.0);
    let held = begun(&directory.0);
    let error = remove_run(&Places::new(), &ledger, "nightly").await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("has run nightly-0"), "{text}");
    drop(held);
    assert_eq!(ledger.runs().unwrap().len(), 1);
}

#[cfg(feature = "payload")]
#[tokio::test]
async fn payloads_of_a_run_of_this_machine_are_removed_from_its_store() {
    let directory = Scratch::new();
    let url = format!("file://{}/payloads", directory.0.display());
    let runs = directory.0.join("runs");
    let ledger = Ledger::open(&runs);
    drop(begun(&runs));
    let folder = directory.0.join("payloads/podpool/nightly-0");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("0123"), "large").unwrap();
    let places = Places::new().payload_store(&url);
    let removed = remove_run(&places, &ledger, "nightly-0").await.unwrap();
    assert_eq!(removed.removed.len(), 1, "{removed:?}");
    assert!(removed.forgotten);
    assert!(!folder.join("0123").exists());
}
