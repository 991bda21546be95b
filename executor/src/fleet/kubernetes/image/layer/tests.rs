//! Layers are the same bytes each time, and hold what was put in.

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::super::libraries::tests::Folder;
use super::*;

/// Path, rights and content of every entry.
fn unpack(layer: &Layer) -> Vec<(String, u32, Vec<u8>)> {
    let mut file = layer.file.try_clone().unwrap();
    file.rewind().unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (
                    header.mtime().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap()
                ),
                (0, 0, 0)
            );
            let (path, mode) = (
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap(),
            );
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, mode, content)
        })
        .collect()
}

fn bytes(layer: &Layer) -> Vec<u8> {
    let mut file = layer.file.try_clone().unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_layer_holds_its_entries() {
    let folder = Folder::new();
    let program = folder.write("program", b"ELF");
    let long = format!("podpool/lib/{}.so", "a".repeat(150));
    let entries = [
        Entry::text("etc/passwd", "root\n"),
        Entry {
            path: long.clone(),
            mode: 0o755,
            content: Content::File(program),
        },
        Entry::directory("tmp", 0o1777),
    ];
    let layer = pack(&entries).unwrap();
    let expected = [
        ("etc/passwd".to_owned(), 0o644, b"root\n".to_vec()),
        (long, 0o755, b"ELF".to_vec()),
        ("tmp/".to_owned(), 0o1777, Vec::new()),
    ];
    assert_eq!(unpack(&layer), expected);
    let blob = bytes(&layer);
    assert_eq!(
        (layer.size, &layer.digest),
        (blob.len() as u64, &Digest::of(&blob))
    );
    let mut archive = Vec::new();
    GzDecoder::new(&*blob).read_to_end(&mut archive).unwrap();
    assert_eq!(layer.diff_id, Digest::of(&archive));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let entry = Entry {
        path: "a".to_owned(),
        mode: 0o755,
        content: Content::File("/no/such/program".into()),
    };
    let error = pack(&[entry]).unwrap_err().to_string();
    assert!(error.contains("/no/such/program"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the files hold, and whenever they were written.
    #[test]
    fn a_layer_is_the_same_bytes_twice(
        names in proptest::collection::btree_set("[a-z]{1,8}(/[a-zA-Z0-9._-]{1,120})?", 1..6),
        contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3_000), 6),
    ) {
        let entries = |folder: &Folder| -> Vec<Entry> {
            let files = names.iter().zip(&contents).enumerate();
            files
                .map(|(number, (path, content))| Entry {
                    path: path.clone(),
                    mode: 0o755,
                    content: Content::File(folder.write(&number.to_string(), content)),
                })
                .collect()
        };
        let (one, other) = (Folder::new(), Folder::new());
        let (one, other) = (pack(&entries(&one)).unwrap(), pack(&entries(&other)).unwrap());
        prop_assert_eq!(bytes(&one), bytes(&other));
        prop_assert_eq!((one.digest, one.diff_id, one.size), (other.digest, other.diff_id, other.size));
    }
}
