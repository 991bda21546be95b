//! Any text in a variable, in `podpool.toml` or in a template is a value or an error, and never a panic.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::fleet::kubernetes::job;

/// What settings are made of.
const PARTS: [&str; 40] = [
    "1",
    "0",
    "-",
    "64",
    "1e9",
    "4Gi",
    "500m",
    "90s",
    "NaN",
    "true",
    "a",
    "A",
    "worker",
    "key",
    "=",
    ":",
    ",",
    "/",
    "[",
    "]",
    "{",
    "}",
    "\"",
    " ",
    "\n",
    "|",
    ".",
    "..",
    "ü",
    "\0",
    "/tmp",
    "/etc/podpool",
    "NoSchedule",
    "name",
    "image",
    "spec",
    "- ",
    "&a",
    "*a",
    "!!binary",
];

fn text() -> impl Strategy<Value = String> {
    let parts = prop::collection::vec(prop::sample::select(&PARTS[..]), 0..12);
    prop_oneof![parts.prop_map(|parts| parts.concat()), any::<String>()]
}

/// A value of TOML and of JSON, which both of them can write.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (-1e12..1e12).prop_map(Value::from),
        Just(Value::Null),
    ];
    let field = prop::sample::select(vec![
        "key", "value", "effect", "operator", "values", "weight", "near", "apart", "labels",
        "path", "size", "name", "image", "env", "cpu", "memory", "args", "claim", "over", "other",
    ]);
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let field = field.clone().prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((field, inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A value that was read is checked, shown, and written into a pod, if it passes.
fn use_up(spec: &WorkerSpec) {
    assert!(
        spec.settings()
            .iter()
            .all(|setting| !setting.name.is_empty())
    );
    if spec.check().is_ok()
        && let Err(error) = job::check(spec)
    {
        // The class of service needs all containers of the pod.
        assert_eq!(error.setting, "qos", "{error}");
    }
}

proptest! {
    #[test]
    fn of_a_variable(text in text()) {
        for row in rows() {
            let read = WorkerSpec::of_image("a")
                .or_environment(|name| (name == row.variable).then(|| text.clone()));
            match read {
                Ok(spec) => use_up(&spec),
                Err(error) => assert_eq!(error.setting, row.variable),
            }
        }
    }

    #[test]
    fn of_a_file(tree in tree()) {
        for row in rows() {
            let mut spec = WorkerSpec::of_image("a");
            if (row.read)(&mut spec, &tree).is_ok() {
                use_up(&spec);
            }
        }
    }

    #[test]
    fn of_a_whole_file(text in text()) {
        let text = format!("[kubernetes]\n{text}");
        drop(ConfigFile::parse(Path::new("podpool.toml"), &text));
    }

    #[test]
    fn of_a_template(text in text(), tree in tree()) {
        drop(Template::parse(Path::new("pod.yaml"), &text));
        let pod = serde_json::json!({"spec": {"containers": [tree.clone()], "volumes": tree}});
        drop(Template::parse(Path::new("pod.yaml"), &pod.to_string()));
    }
}
