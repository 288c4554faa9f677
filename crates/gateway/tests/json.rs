//! Lookups against `serde_json::Value`, on documents and on garbage.

use mainstay_gateway::json::{self, MAX_TOKENS, Pointer, PointerError};
use proptest::prelude::*;
use serde_json::Value;

/// Few keys, so that pointers hit and keys repeat; some that need escapes.
const KEYS: [&str; 8] = ["a", "b", "0", "1", "01", "~", "/", "é\n"];

fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (-1e9..1e9f64).prop_map(|n| Value::from(n).to_string()),
        ".{0,6}".prop_map(|text| Value::from(text).to_string()),
    ];
    scalar.prop_recursive(5, 40, 5, move |inner| {
        let space = prop::sample::select(vec!["", " ", "\n\t"]);
        let members = prop::collection::vec((prop::sample::select(&KEYS[..]), inner.clone()), 0..5);
        let object = (members, space.clone()).prop_map(|(members, space)| {
            let member = |(key, value): &(&str, String)| format!("{space}{}{space}:{value}", Value::from(*key));
            format!("{space}{{{}{space}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        });
        let elements = prop::collection::vec(inner, 0..4);
        let array = (elements, space).prop_map(|(all, space)| format!("[{space}{}{space}]", all.join(",")));
        prop_oneof![object, array]
    })
}

fn pointer() -> impl Strategy<Value = String> {
    let token = prop::sample::select(&KEYS[..]).prop_map(|key| key.replace('~', "~0").replace('/', "~1"));
    prop::collection::vec(token, 0..5).prop_map(|tokens| tokens.iter().flat_map(|token| ["/", token]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Objects in the documents repeat keys, so this also says that the last of them counts.
    #[test]
    fn find_agrees_with_serde_json(document in document(), pointer in pointer()) {
        let whole: Value = serde_json::from_str(&document).unwrap();
        let found = json::find(document.as_bytes(), &Pointer::parse(&pointer).unwrap()).unwrap();
        let found = found.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
        prop_assert_eq!(found.as_ref(), whole.pointer(&pointer));
    }

    #[test]
    fn fields_and_members_agree_with_serde_json(document in document()) {
        let whole: Value = serde_json::from_str(&document).unwrap();
        let parse = |raw: &serde_json::value::RawValue| serde_json::from_str::<Value>(raw.get()).unwrap();
        let fields = json::fields(document.as_bytes(), KEYS).unwrap().map(|raw| raw.map(parse));
        prop_assert_eq!(fields, KEYS.map(|key| whole.get(key).cloned()));
        let members = json::members(document.as_bytes()).unwrap();
        let members = members.map(|all| all.into_iter().map(|(key, raw)| (key.into_owned(), parse(raw))).collect());
        prop_assert_eq!(members.map(Value::Object), whole.is_object().then_some(whole));
    }

    #[test]
    fn cut_documents_are_refused_with_a_place(document in document(), at in any::<prop::sample::Index>()) {
        let cut = &document.as_bytes()[..at.index(document.len())];
        if serde_json::from_slice::<serde::de::IgnoredAny>(cut).is_err() {
            let error = json::find(cut, &Pointer::parse("/a/0").unwrap()).unwrap_err();
            prop_assert!(error.offset <= cut.len());
        }
    }

    #[test]
    fn nothing_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[/~01a-c]{0,20}") {
        if let Ok(pointer) = Pointer::parse(&text) {
            drop(json::find(&bytes, &pointer));
            prop_assert_eq!(Pointer::parse(&pointer.to_string()), Ok(pointer));
        }
        drop((json::fields(&bytes, ["a"]), json::elements(&bytes), json::members(&bytes)));
    }
}

#[test]
fn errors_point_at_the_byte() {
    let error = json::fields(b"{\"a\": 1,\n \"b\": }", ["a"]).unwrap_err();
    assert_eq!((error.offset, error.message.as_str()), (16, "expected value"));
    let error = json::fields(b"{} x", ["a"]).unwrap_err();
    assert_eq!((error.offset, error.message.as_str()), (4, "trailing characters"));
}

#[test]
fn depth_is_no_danger() {
    assert!(json::fields("[".repeat(1_000_000).as_bytes(), ["a"]).is_err());
    let nested = format!("{{\"x\": {}1{}, \"a\": 2}}", "[".repeat(1000), "]".repeat(1000));
    let found = json::find(nested.as_bytes(), &Pointer::parse("/a").unwrap()).unwrap();
    assert_eq!(found.map(serde_json::value::RawValue::get), Some("2"));
    assert_eq!(Pointer::parse(&"/a".repeat(MAX_TOKENS + 1)), Err(PointerError::TooLong));
}

#[test]
fn pointers_follow_the_rfc() {
    assert_eq!(Pointer::parse("a"), Err(PointerError::NoSlash));
    assert_eq!(Pointer::parse("/a~2"), Err(PointerError::Escape));
    assert_eq!(Pointer::parse("/a~"), Err(PointerError::Escape));
    let body = br#"{"~1": {"/": [10, 20]}}"#;
    let found = |text: &str| json::find(body, &Pointer::parse(text).unwrap()).unwrap().map(|raw| raw.get().to_owned());
    assert_eq!(found("/~01/~1/1").as_deref(), Some("20"));
    assert_eq!(found("/~01/~1/01"), None);
    assert_eq!(found("/~01/~1/-"), None);
}
