//! Tests of descriptors of this and other releases.

use podpool_core::shape::Fingerprint;
use podpool_core::slot::OutputLimits;

use super::*;

fn task_type(name: &str, shape: u8) -> TaskType {
    TaskType {
        name: name.into(),
        fingerprint: Fingerprint([shape; 16]),
    }
}

fn descriptor() -> Descriptor {
    let run = RunId::new("backfill").unwrap();
    Descriptor {
        run,
        queues: Description {
            tag: "unknown".to_owned(),
            body: "{\"loft\": \"north\"}".to_owned(),
        },
        wire: 1,
        lease: Duration::from_secs(60),
        termination: Duration::from_secs(30),
        idle: Duration::from_secs(300),
        worker: WorkerSettings {
            slots: 2,
            max_tasks_per_slot: None,
            memory: Some(1 << 30),
            output: OutputLimits {
                line: 100,
                rate: 200,
                forwarded: 300,
            },
            grace: Duration::from_secs(5),
            start_timeout: Duration::from_secs(60),
            initializer: Some(("a::b".to_owned(), vec![0, 255])),
            shared_memory: None,
        },
        payload_store: None,
        tasks: vec![
            task_type("a::same", 1),
            task_type("a::other", 1),
            task_type("a::lacking", 1),
        ],
        build: "1".to_owned(),
    }
}

#[test]
fn a_descriptor_is_read_with_its_own_key_alone() {
    let (key, other) = ([7; 32], [8; 32]);
    let bytes = descriptor().authenticate(&key).unwrap();
    assert_eq!(Descriptor::open(&bytes, &key), Ok(descriptor()));
    assert_eq!(Descriptor::open(&bytes, &other), Err(DescriptorError::Mac));
    let mut forged = bytes.clone();
    let last = forged.len() - 3;
    forged[last] ^= 1;
    assert_eq!(Descriptor::open(&forged, &key), Err(DescriptorError::Mac));
    for cut in 0..bytes.len() {
        assert!(
            Descriptor::open(&bytes[..cut], &key).is_err(),
            "cut at {cut}"
        );
    }
    for other in [1, 3] {
        let head = format!("podpool descriptor {other}");
        let refused = Descriptor::open(format!("{head}\n").as_bytes(), &key);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(&head) && refused.contains(HEAD));
    }
}

#[test]
fn only_a_task_that_both_have_can_have_another_shape() {
    let known = [
        task_type("a::same", 1),
        task_type("a::other", 2),
        task_type("a::more", 3),
    ];
    assert_eq!(descriptor().reshaped(&known), ["a::other"]);
}
