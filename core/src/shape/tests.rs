//! What traces, what its text is, and what is refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;

fn text<T: Serialize + DeserializeOwned>() -> String {
    trace_one::<T>().unwrap_or_else(|error| panic!("{error}"))
}

fn refusal<T: Serialize + DeserializeOwned>() -> String {
    match trace_one::<T>() {
        Ok(text) => panic!("traced as {text}"),
        Err(error) => error.to_string(),
    }
}

/// Types of one name, as two releases of a program have them.
macro_rules! release {
    ($name:ident { $($item:item)* }) => {
        mod $name {
            use serde::{Deserialize, Serialize};
            $(#[derive(Serialize, Deserialize)] $item)*
        }
    };
}

release!(old { pub(super) struct P { a: u8, b: u8 } pub(super) enum E { A, B(u8) } });
release!(swapped { pub(super) struct P { b: u8, a: u8 } pub(super) enum E { B(u8), A } });
release!(renamed { pub(super) struct P { a: u8, c: u8 } pub(super) enum E { A, C(u8) } });
release!(retyped { pub(super) struct P { a: u8, b: u16 } pub(super) enum E { A, B(u16) } });
release!(grown { pub(super) struct P { a: u8, b: u8, c: u8 } pub(super) enum E { A, B(u8), C } });

#[test]
fn texts_are_canonical() {
    assert_eq!(text::<()>(), "unit");
    assert_eq!(text::<(u8, String)>(), "(u8,str)");
    assert_eq!(text::<Option<Vec<f64>>>(), "?([f64])");
    assert_eq!(text::<BTreeMap<String, bool>>(), "map(str,bool)");
    assert_eq!(text::<[u8; 3]>(), "(u8,u8,u8)");
    assert_eq!(text::<old::P>(), r#"struct "P"{"a":u8,"b":u8}"#);
    assert_eq!(text::<old::E>(), r#"enum "E"["A":unit,"B":=(u8)]"#);
    assert_eq!(
        text::<(old::P, old::P)>(),
        r#"(struct "P"{"a":u8,"b":u8},#0)"#
    );
    assert_eq!(trace::<(u8,), String>().unwrap().as_str(), "(u8)->str");
}

#[test]
fn every_change_of_a_type_changes_its_text() {
    let structs = [
        text::<old::P>(),
        text::<swapped::P>(),
        text::<renamed::P>(),
        text::<retyped::P>(),
        text::<grown::P>(),
    ];
    let enums = [
        text::<old::E>(),
        text::<swapped::E>(),
        text::<renamed::E>(),
        text::<retyped::E>(),
        text::<grown::E>(),
    ];
    assert_eq!(structs.iter().collect::<HashSet<_>>().len(), structs.len());
    assert_eq!(enums.iter().collect::<HashSet<_>>().len(), enums.len());
    // However deep it sits.
    assert_ne!(
        text::<HashMap<String, Vec<Option<Box<old::E>>>>>(),
        text::<HashMap<String, Vec<Option<Box<renamed::E>>>>>()
    );
}

#[test]
fn a_trace_is_repeatable() {
    let first = text::<(Expression, HashMap<u32, Nested>)>();
    for _ in 0..5 {
        assert_eq!(text::<(Expression, HashMap<u32, Nested>)>(), first);
    }
}

#[derive(Serialize, Deserialize)]
struct Nested {
    one: Option<Inner>,
    many: Vec<Inner>,
    by_name: HashMap<String, Inner>,
}

#[derive(Serialize, Deserialize)]
enum Inner {
    Unit,
    Newtype(u8),
    Tuple(u8, String),
    Struct { deep: Option<Deep> },
}

#[derive(Serialize, Deserialize)]
enum Deep {
    X,
    Y(char),
    Z(i64),
}

#[test]
fn all_variants_are_seen_even_behind_options() {
    let inner = concat!(
        r#"enum "Inner"["Unit":unit,"Newtype":=(u8),"Tuple":(u8,str),"#,
        r#""Struct":{"deep":?(enum "Deep"["X":unit,"Y":=(char),"Z":=(i64)])}]"#
    );
    assert_eq!(
        text::<Nested>(),
        format!(r##"struct "Nested"{{"one":?({inner}),"many":[#1],"by_name":map(str,#1)}}"##)
    );
}

#[derive(Serialize, Deserialize)]
enum Expression {
    Add(Box<Self>, Box<Self>),
    Call { name: String, arguments: Vec<Self> },
    Block(Box<Statement>),
    Literal(i64),
}

#[derive(Serialize, Deserialize)]
enum Statement {
    If(Expression, Box<Self>, Option<Box<Self>>),
    Evaluate(Expression),
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Tree {
    value: u8,
    children: Vec<Self>,
    parent: Option<Box<Self>>,
}

#[test]
fn recursive_types_end() {
    assert_eq!(
        text::<Tree>(),
        r#"struct "Tree"{"value":u8,"children":[#0],"parent":?(#0)}"#
    );
    assert_eq!(
        text::<Expression>(),
        concat!(
            r##"enum "Expression"["Add":(#0,#0),"Call":{"name":str,"arguments":[#0]},"##,
            r##""Block":=(enum "Statement"["If":(#0,#1,?(#1)),"Evaluate":=(#0),"Nothing":unit]),"##,
            r##""Literal":=(i64)]"##
        )
    );
}

/// Every variant but the last recurses, and the way out is the last of the other type.
#[derive(Serialize, Deserialize)]
enum Ping {
    A(Box<Pong>),
    B(Box<Self>, Box<Pong>),
}

#[derive(Serialize, Deserialize)]
enum Pong {
    A(Box<Ping>),
    B(Box<Self>),
    End,
}

#[test]
fn a_way_out_is_found_among_variants_that_recurse() {
    assert_eq!(
        text::<Ping>(),
        r##"enum "Ping"["A":=(enum "Pong"["A":=(#0),"B":=(#1),"End":unit]),"B":(#0,#1)]"##
    );
}

#[derive(Serialize, Deserialize)]
struct Endless(Box<Self>);

#[test]
fn a_type_without_end_is_refused() {
    assert!(refusal::<Endless>().contains("no value of it has an end"));
}

#[derive(Serialize, Deserialize)]
struct Wrap<T>(T);

#[test]
fn two_types_of_one_name_are_traced() {
    assert_eq!(
        text::<(Wrap<u8>, Wrap<String>, Wrap<u8>)>(),
        r#"(struct "Wrap"=(u8),struct "Wrap"=(str),#0)"#
    );
}

#[derive(Serialize, Deserialize)]
struct Leaves {
    date: jiff::civil::Date,
    time: jiff::civil::Time,
    date_time: jiff::civil::DateTime,
    timestamp: jiff::Timestamp,
    zoned: jiff::Zoned,
    span: jiff::Span,
    signed: jiff::SignedDuration,
    week: jiff::civil::ISOWeekDate,
}

#[test]
fn dates_times_addresses_and_identifiers_trace() {
    let leaves = text::<Leaves>();
    assert_eq!(leaves.matches(":str").count(), 8, "{leaves}");
    assert_eq!(text::<chrono::NaiveDate>(), "str");
    assert_eq!(text::<chrono::NaiveTime>(), "str");
    assert_eq!(text::<chrono::NaiveDateTime>(), "str");
    assert_eq!(text::<chrono::DateTime<chrono::Utc>>(), "str");
    assert_eq!(text::<chrono::DateTime<chrono::FixedOffset>>(), "str");
    assert_eq!(text::<chrono::Weekday>(), "str");
    assert_eq!(text::<uuid::Uuid>(), "bytes");
    assert_eq!(text::<url::Url>(), "str");
    assert!(text::<IpAddr>().starts_with(r#"enum "IpAddr"["V4":=("#));
    assert!(text::<SocketAddr>().contains("u16"));
    assert!(text::<Duration>().contains("u64"));
    assert!(text::<std::time::SystemTime>().contains("u64"));
    assert_eq!(text::<std::num::NonZeroU32>(), "u32");
    assert!(text::<std::ops::Range<u8>>().contains("u8"));
    assert_eq!(text::<std::path::PathBuf>(), "str");
    assert!(text::<Result<u8, String>>().starts_with(r#"enum "Result""#));
}

/// A type that reads another and then checks it, as `#[serde(try_from)]` does.
macro_rules! checked {
    ($name:ident from $raw:ty, $check:expr) => {
        #[derive(Serialize)]
        struct $name($raw);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = <$raw>::deserialize(deserializer)?;
                let check: fn(&$raw) -> bool = $check;
                let bad = || serde::de::Error::custom(format!("{raw:?} is bad"));
                check(&raw).then_some(()).ok_or_else(bad)?;
                Ok(Self(raw))
            }
        }
    };
}

checked!(Version from String, |v| v.split('.').count() == 3);
checked!(Big from String, |v| v.parse::<u64>().is_ok_and(|n| n > 0));
checked!(Ordered from (i32, i32), |(low, high)| low < high);
checked!(Pair from Vec<u8>, |v| v.len() == 2);
checked!(Hash from Vec<u8>, |v| v.len() == 32);
checked!(Never from String, |v| v == "nobody guesses this");

#[derive(Serialize, Deserialize)]
struct Checked {
    before: String,
    version: Version,
    big: Big,
    ordered: Ordered,
    pair: Pair,
    hash: Hash,
    many: Vec<Version>,
    after: String,
}

#[test]
fn samples_change_until_a_type_takes_them() {
    assert_eq!(
        text::<Checked>(),
        concat!(
            r#"struct "Checked"{"before":str,"version":str,"big":str,"ordered":(i32,i32),"#,
            r#""pair":[u8],"hash":[u8],"many":[str],"after":str}"#
        )
    );
}

#[derive(Serialize, Deserialize)]
struct Outer {
    fine: u8,
    field: Option<Vec<Never>>,
}

#[test]
fn what_takes_no_sample_is_named() {
    let refusal = refusal::<Outer>();
    assert!(
        refusal.contains("shape::tests::Never (at field)"),
        "{refusal}"
    );
    assert!(refusal.contains(r#""a" is bad"#), "{refusal}");
    assert!(refusal.contains("version ="), "{refusal}");
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    A { a: u8 },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    A(u8),
}

#[derive(Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    rest: HashMap<String, String>,
}

#[derive(Serialize, Deserialize)]
enum Sometimes {
    Never,
    Value { value: serde_json::Value },
}

#[test]
fn self_describing_types_are_refused_with_a_remedy() {
    for refusal in [
        refusal::<serde_json::Value>(),
        refusal::<Untagged>(),
        refusal::<Tagged>(),
        refusal::<Adjacent>(),
        refusal::<Flat>(),
        refusal::<Sometimes>(),
    ] {
        assert!(refusal.contains("version ="), "{refusal}");
        assert!(refusal.contains("as text"), "{refusal}");
    }
    let refusal = refusal::<Sometimes>();
    assert!(
        refusal.contains("serde_json::value::Value (at value)"),
        "{refusal}"
    );
}

#[derive(Serialize, Deserialize)]
enum Aliased {
    #[serde(alias = "Un", alias = "Uno")]
    One(u8),
    #[serde(rename = "deux")]
    Two(String),
}

#[test]
fn aliases_do_not_count_as_variants() {
    let text = text::<Aliased>();
    assert_eq!(text.matches('=').count(), 2, "{text}");
}

#[derive(Serialize, Deserialize)]
struct Skipping {
    #[serde(skip_serializing_if = "Option::is_none")]
    maybe: Option<u8>,
    after: u8,
}

#[test]
fn a_type_that_does_not_read_what_it_writes_is_refused() {
    let refusal = refusal::<Skipping>();
    assert!(refusal.contains("skip_serializing_if"), "{refusal}");
}

#[derive(Serialize)]
struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("on purpose")
    }
}

/// Asks for an array of absurd length and an enum without variants.
#[derive(Serialize)]
struct Hostile;

impl<'de> Deserialize<'de> for Hostile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Hostile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut row: A,
            ) -> Result<Hostile, A::Error> {
                while row.next_element::<u8>()?.is_some() {}
                Ok(Hostile)
            }
        }
        deserializer.deserialize_tuple(usize::MAX, Visitor)
    }
}

#[derive(Serialize, Deserialize)]
enum Empty {}

#[test]
fn adversarial_types_are_errors_and_not_panics() {
    assert!(refusal::<Panics>().contains("panicked"));
    assert!(refusal::<Hostile>().contains("too many parts"));
    assert!(refusal::<Empty>().contains("no variant"));
}

#[test]
fn a_version_stands_in_for_a_shape() {
    let bad = || trace::<(serde_json::Value,), ()>();
    let good = |shape: &str| Ok(Shape(shape.to_owned()));
    assert!(Fingerprint::of("t", None, bad()).is_err());
    let one = Fingerprint::of("t", Some("1"), bad()).unwrap();
    assert_eq!(one, Fingerprint::of("t", Some("1"), bad()).unwrap());
    let others = [
        one,
        Fingerprint::of("t", Some("2"), bad()).unwrap(),
        Fingerprint::of("u", Some("1"), bad()).unwrap(),
        Fingerprint::of("t", Some("1"), good("")).unwrap(),
        Fingerprint::of("t", Some("1"), good("u8")).unwrap(),
        Fingerprint::of("t", None, good("u8")).unwrap(),
        Fingerprint::of("t", Some(""), good("u8")).unwrap(),
        Fingerprint::of("t", Some("1u"), good("8")).unwrap(),
    ];
    assert_eq!(others.iter().collect::<HashSet<_>>().len(), others.len());
}

#[test]
fn maps_are_found_in_arguments_and_not_in_names_or_outputs() {
    let has = |text: &str| Shape(text.to_owned()).arguments_have_maps();
    assert!(has("(u64,map(str,u8))->unit"));
    assert!(has(r#"(struct "A\"->"{"m":?(map(str,u8))})->unit"#));
    assert!(!has("(u64,str)->map(str,u8)"));
    assert!(!has(r#"(struct "map("{"map(\\":u8})->map(str,u8)"#));
    assert!(!has("(i8)->unit"));
    assert!(!has(""));
}
