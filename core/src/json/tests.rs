//! Tests of JSON as arguments and results.

use std::collections::HashMap;

use serde::Deserialize;

use super::*;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "asset",
        docs: "",
    },
    Parameter {
        name: "days",
        docs: "",
    },
    Parameter {
        name: "limit",
        docs: "",
    },
];

type Three = (String, Vec<u8>, Option<f64>);

fn read(text: &str) -> Result<Three, String> {
    let codec = JsonCodec::of::<Three, ()>();
    let arguments = codec.arguments_from(PARAMETERS, text);
    let arguments = arguments.map_err(|error| error.to_string())?;
    Ok(codec::decode(&arguments).unwrap())
}

#[test]
fn arguments_are_an_object_or_an_array() {
    let all: Three = ("BTC".into(), vec![1, 2], Some(0.5));
    let object = r#" {"limit": 0.5, "asset": "BTC", "days": [1, 2]} "#;
    assert_eq!(read(object).as_ref(), Ok(&all));
    assert_eq!(read(r#"["BTC",[1,2],0.5]"#).as_ref(), Ok(&all));
    let none = read(r#"{"asset":"BTC","days":[]}"#).unwrap();
    assert_eq!(
        none,
        ("BTC".into(), vec![], None),
        "an option may be left out"
    );
}

#[test]
fn refused_arguments_are_named() {
    for (text, part) in [
        ("", "no JSON object and no JSON array"),
        ("7", "no JSON object and no JSON array"),
        ("[1", "no JSON object and no JSON array"),
        ("{\"asset\": }", "no JSON object and no JSON array"),
        ("[] x", "no JSON object and no JSON array"),
        (
            "[\"BTC\"]",
            "1 arguments were given, and the task takes 3 (asset, days, limit)",
        ),
        (
            r#"{"asset":"BTC","day":[]}"#,
            "no parameter \"day\" (asset, days, limit)",
        ),
        (
            r#"{"asset":"BTC","asset":"ETH"}"#,
            "\"asset\" is given twice",
        ),
        (r#"{"asset":"BTC"}"#, "\"days\" is missing"),
        (
            r#"["BTC",[1,256],null]"#,
            "the argument \"days\" is not what the task takes: invalid value: integer `256`",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn what_was_read_is_shown_as_an_object() {
    let codec = JsonCodec::of::<Three, HashMap<(u8, u8), u8>>();
    let text = r#"{"asset":"B\"TC","days":[1,2],"limit":null}"#;
    let arguments = codec.arguments_from(PARAMETERS, text).unwrap();
    assert_eq!(codec.arguments_to(PARAMETERS, &arguments).unwrap(), text);
    assert!(matches!(
        codec.arguments_to(PARAMETERS, &arguments[1..]),
        Err(JsonError::Codec(_))
    ));
    let map = codec::encode(&HashMap::from([((1_u8, 2_u8), 3_u8)])).unwrap();
    let error = codec.output_to(&map).unwrap_err().to_string();
    assert!(error.contains("key must be a string"), "{error}");
}

#[test]
fn a_task_without_parameters_takes_nothing() {
    let codec = JsonCodec::of::<(), u8>();
    for text in ["[]", "{}"] {
        let arguments = codec.arguments_from(&[], text).unwrap();
        assert!(arguments.is_empty());
        assert_eq!(codec.arguments_to(&[], &arguments).unwrap(), "{}");
    }
    let error = codec.arguments_from(&[], "[1]").unwrap_err().to_string();
    assert!(error.contains("takes 0 (it takes none)"), "{error}");
}

#[test]
fn only_callers_that_expect_json_get_it() {
    let codec = JsonCodec::of::<(), Vec<u8>>();
    let bytes = codec::encode(&vec![1_u8, 2]).unwrap();
    let decode = || codec::decode::<Vec<u8>>(&bytes);
    assert_eq!(decode_output(&codec, &bytes, decode), Ok(vec![1, 2]));
    let json = decode_output::<Json>(&codec, &bytes, || unreachable!("it is JSON"));
    assert_eq!(json.unwrap().as_str(), "[1,2]");
    let refused = decode_output::<Json>(&codec, &bytes[..1], || unreachable!("it is JSON"));
    assert!(matches!(refused, Err(CodecError::Decode(_))));
    let nested = Json::deserialize(&mut serde_json::Deserializer::from_str(" [1, 2] ")).unwrap();
    assert_eq!(nested.into_string(), "[1, 2]");
}
