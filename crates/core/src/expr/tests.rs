use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[derive(Default, Debug, Clone)]
struct Request {
    headers: BTreeMap<String, String>,
    features: BTreeMap<String, Value>,
    body: Option<Value>,
}

impl Request {
    fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }
    fn feature(mut self, name: &str, value: Value) -> Request {
        self.features.insert(name.to_owned(), value);
        self
    }
    fn body(mut self, body: Value) -> Request {
        self.body = Some(body);
        self
    }
}

impl Facts for Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
    fn headers(&self) -> Vec<(String, String)> {
        self.headers.clone().into_iter().collect()
    }
    fn request(&self) -> Option<&Value> {
        self.body.as_ref()
    }
    fn feature(&self, reference: &str) -> Option<Value> {
        self.features.get(reference).cloned()
    }
    fn features(&self) -> Vec<(String, Value)> {
        self.features.clone().into_iter().collect()
    }
    #[expect(clippy::unnecessary_literal_bound, reason = "the trait's signature")]
    fn route(&self) -> &str {
        "score"
    }
    #[expect(clippy::unnecessary_literal_bound, reason = "the trait's signature")]
    fn client(&self) -> &str {
        "checkout"
    }
}

fn sample() -> Request {
    Request::default()
        .header("x-user-tier", "premium")
        .header("x-user-id", "u1")
        .feature("account:count", json!(60))
        .feature("account:name", json!("anna"))
        .feature("account:none", Value::Null)
        .body(json!({"model": "fraud", "inputs": [{"name": "a", "data": [1, 2.5]}], "parameters": {"priority": 2}}))
}

/// Native or not, and what the program says of [`sample`].
fn verdict(source: &str) -> String {
    let program = match Program::compile(source) {
        Ok(program) => program,
        Err(error) => return format!("refused at {}: {}", error.offset, error.message),
    };
    let how = if program.is_native() { "native" } else { "interpreted" };
    let result = match program.matches(&sample()) {
        Ok(holds) => holds.to_string(),
        Err(error) => format!("error: {error}"),
    };
    let mut text = format!("{how} {result}");
    for warning in program.warnings() {
        text = format!("{text} | at {}: {}", warning.offset, warning.message);
    }
    text
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(verdict(source), expected, "{source}");
}

#[test]
fn the_contracts_rules_run_natively() {
    check(r#"header("x-safety-critical") == "true""#, "native false");
    check(r#"header("x-user-tier") == "premium""#, "native true");
    check(r#"header("X-User-Id") != """#, "native true");
    check(r#"feature("account:count", 0.0) > 50.0"#, "native true");
    check(r#"50 >= feature("account:absent", 50)"#, "native true");
    check(r#"feature("account:none", 1) == 1.0"#, "native true");
    check(r#"!("x-user-id" in headers && has(headers.nothing)) || route == "chat""#, "native true");
    check(r#"feature("account:name", 0) > 1"#, "native error: the feature is not a number");
    check(r#"feature("account:name", 0) > 1 || client == "checkout""#, "native true");
}

#[test]
fn the_interpreter_does_the_rest() {
    check(r#"request.parameters.priority == 2 && request.model.startsWith("fr")"#, "interpreted true");
    check(r#"request.inputs.exists(i, i.name == "a" && size(i.data) == 2)"#, "interpreted true");
    check(r#"has(request.nothing) || request["inputs"][0].data[1] > 2"#, "interpreted true");
    check("request.inputs[0].data.map(x, x > 1.0, x + 0.5) == [3.0]", "interpreted true");
    check("request.absent == 1", "interpreted error: no such key: absent");
    check(r#"header("x-user-tier") in ["premium", "gold"]"#, "interpreted true");
    check(r#"feature("account:name", "") == "anna" && feature("a:b", request.model) == "fraud""#, "interpreted true");
    check("request.model", "interpreted error: the expression is neither true nor false");
    check("request.model + 1 == 2", "interpreted error: a value is not of the type that the expression needs");
    check("1 / (request.parameters.priority - 2) == 1", "interpreted error: division by zero");
}

#[test]
fn faults_have_places() {
    check(r#"header("a") = "b""#, "refused at 12: unexpected '= '");
    check("true &&", "refused at 7: the expression ends too early");
    check("", "refused at 0: the expression ends too early");
    check(
        r#"route == "é" && nope"#,
        "refused at 18: unknown variable `nope`: the variables are `request`, `headers`, `features`, `route` and `client`",
    );
    check(r#"headers.all(h, h != "")"#, "refused at 11: iterations run over lists only, not over maps");
    check("request.a.all(x, request.b.all(y, x == y))", "refused at 30: an iteration within an iteration");
    check("request.a.map(x, x).all(y, y > 0)", "refused at 13: an iteration within an iteration");
    check("request.a.all(request, request > 0)", "refused at 13: `request` has a meaning: take another name");
    check(
        "request.a.map(x, x + x)[0] == 1",
        "refused at 19: within an iteration, `+` takes a number as a literal: texts are not joined",
    );
    check("header(route)", r#"refused at 6: write header("name"), with the name as a literal"#);
    check("feature(\"a\")", r#"refused at 7: write feature("ref", DEFAULT), with the reference as a literal"#);
    check("shout(route)", "refused at 0: unknown function `shout`");
    check("1 + 2", "refused at 2: neither true nor false: compare it with something");
    check("A{b: 1} == 1", "refused at 1: unknown type `A`");
    check(&"(".repeat(30), "refused at 24: nested more than 24 deep");
    check(&format!("true{}", " ".repeat(5000)), "refused at 4096: longer than 4096 bytes");
}

#[test]
fn oddities_are_warned_of() {
    check(
        r#"headers["x-user-id"] == "u1""#,
        r#"interpreted true | at 7: an absent key makes this rule fail: write header("x-user-id")"#,
    );
    check(r#""x-user-id" in headers && headers["x-user-id"] == "u1""#, "interpreted true");
    check("has(features.a) && features.a > 1", "interpreted false");
    check(
        r#"features["account:count"] > 1"#,
        r#"interpreted true | at 8: an absent key makes this rule fail: write feature("account:count", DEFAULT)"#,
    );
    check(
        r#"headers["X-User-Id"] == "u1""#,
        r#"interpreted error: no such key: X-User-Id | at 7: the names in `headers` are in lower case: "x-user-id" | at 7: an absent key makes this rule fail: write header("X-User-Id")"#,
    );
    check(
        r#"header("x-count") == 1"#,
        "interpreted false | at 18: a header is text and never equals anything else: put the value in quotes",
    );
}

#[test]
fn only_what_is_mentioned_is_handed_over() {
    let many: Vec<Value> = (0..MAX_NODES).map(Value::from).collect();
    let request = Request::default().body(json!({"model": "m", "many": many}));
    let matches = |source: &str| Program::compile(source).unwrap().matches(&request);
    assert_eq!(matches(r#"request.model == "m""#), Ok(true));
    assert_eq!(matches("size(request.many) > 1"), Err(EvalError::TooLarge));
    assert_eq!(matches("size(request) > 1"), Err(EvalError::TooLarge));
    let long = Request::default().body(json!({"a": "x".repeat(MAX_TEXT_BYTES), "b": "y"}));
    let of_long = |source: &str| Program::compile(source).unwrap().matches(&long);
    assert_eq!(of_long("request.a != request.b"), Err(EvalError::TooLarge));
    assert_eq!(of_long("size(request.a) > 1"), Ok(true));
    let program = Program::compile(r#"feature("b:c", 0) > 1 && features["a:b"] > 1"#).unwrap();
    assert_eq!(program.features().collect::<Vec<_>>(), ["a:b", "b:c"]);
    assert!(!program.reads_request());
}

/// The longest texts of each shape that recurses; a test thread has 2 MiB of stack.
#[test]
fn nothing_within_bounds_runs_out_of_stack() {
    let shapes: [(&str, &str, &str); 12] = [
        ("", "a.", "a"),
        ("", "1+", "1"),
        ("", "!", "true"),
        ("", "-", "1"),
        ("", "true?true:", "true"),
        ("", "true&&", "true"),
        ("", "true||", "true"),
        ("", "(", ""),
        ("", "[", ""),
        ("", "{1:", ""),
        ("request", "[0]", ""),
        ("request", ".f()", ""),
    ];
    for (start, repeated, end) in shapes {
        for times in [20, 80, 120, 250, 4000] {
            let text = format!("{start}{}{end}", repeated.repeat(times));
            if let Ok(program) = Program::compile(&text) {
                let _ = program.matches(&sample());
            }
        }
    }
    let nested = format!("{}true{}", "(".repeat(MAX_NESTING), ")".repeat(MAX_NESTING));
    check(&nested, "native true");
}

/// Texts that look like programs, and such that do not.
fn any_text() -> impl Strategy<Value = String> {
    let words = [
        "header",
        "feature",
        "headers",
        "request",
        "features",
        "route",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ",",
        ":",
        "?",
        "\"",
        "'",
        "\"x\"",
        "r'",
        "\"\"\"",
        "&&",
        "||",
        "!",
        "==",
        "<",
        "in",
        "has",
        "all",
        "map",
        "exists_one",
        "1",
        "1u",
        "0x",
        "-",
        "1.5e",
        "b'",
        "\\",
        "\\u",
        "//",
        "\n",
        " ",
        "@",
        "`",
        "é",
        "null",
        "for",
        "true",
        "%",
        "+",
        "x",
        "\0",
    ];
    let soup = prop::collection::vec(prop::sample::select(words.to_vec()), 0..24).prop_map(|words| words.concat());
    prop_oneof![3 => soup, 3 => damaged_program(), 1 => any::<String>()]
}

/// Programs from which pieces were cut, and into which pieces of others were put.
fn damaged_program() -> impl Strategy<Value = String> {
    let programs = [
        "request.inputs.exists_one(i, has(i.name) && i.name == \"a\")",
        "request.a.map(x, x > 1, x * -2)[0] in [1, 2u, 3.5e1, 0x1F]",
        "header(\"x-a\") == r'b\\' || !(feature('f', 0.0) > 50.0)",
        "has(headers.a) ? \"x\" in headers : request[?'a'].?b.orValue({'k': [b'\\x00']}) == null // why",
        "\"\"\"text\"\"\".startsWith('\\u00e9') && size(features) <= 3 % 2",
    ];
    let piece = (prop::sample::select(programs.to_vec()), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    prop::collection::vec(piece, 1..4).prop_map(|pieces| {
        pieces.into_iter().fold(String::new(), |text, (program, from, to)| {
            let (from, to) = (from.index(program.len()), to.index(program.len()));
            let (from, to) = (from.min(to), from.max(to));
            if text.is_empty() { [&program[..from], &program[to..]].concat() } else { text + &program[from..to] }
        })
    })
}

/// Programs of the native kind.
fn native_program() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-3_i64..4).prop_map(|int| int.to_string()),
        (0_u64..4).prop_map(|uint| format!("{uint}u")),
        (-3_i64..4).prop_map(|half| format!("{:?}", half as f64 / 2.0)),
    ];
    let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let text = prop::sample::select(vec!["header(\"a\")", "header(\"B\")", "route", "client"]);
    let literal = prop::sample::select(vec!["\"\"", "\"1\"", "'score'", "\"checkout\""]);
    let key = prop::sample::select(vec!["a", "b", "A"]);
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        (text, any::<bool>(), literal)
            .prop_map(|(text, equal, literal)| { format!("{text} {} {literal}", if equal { "==" } else { "!=" }) }),
        key.prop_map(|key| format!("{key:?} in headers")),
        prop::sample::select(vec!["a", "b", "A"]).prop_map(|key| format!("has(headers.{key})")),
        (prop::sample::select(vec!["f", "g"]), number.clone(), comparison, number, any::<bool>()).prop_map(
            |(name, default, comparison, with, swapped)| {
                let feature = format!("feature({name:?}, {default})");
                if swapped {
                    format!("{with} {comparison} {feature}")
                } else {
                    format!("{feature} {comparison} {with}")
                }
            }
        ),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| format!("!({of})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} || {b})")),
        ]
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    let value = prop::sample::select(vec!["", "1", "score"]);
    let headers = prop::collection::btree_map(prop::sample::select(vec!["a", "b"]), value, 0..3);
    let value = prop::sample::select(vec![
        json!(0),
        json!(1),
        json!(-1),
        json!(1.0),
        json!(-0.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("1"),
        json!(null),
        json!(true),
        json!([1]),
    ]);
    let features = prop::collection::btree_map(prop::sample::select(vec!["f", "g"]), value, 0..3);
    (headers, features).prop_map(|(headers, features)| Request {
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        features: features.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_program_or_a_fault_within_it(text in any_text()) {
        match Program::compile(&text) {
            Ok(program) => drop(program.matches(&sample())),
            Err(error) => {
                prop_assert!(error.offset <= text.len());
                prop_assert!(!error.message.is_empty());
            }
        }
    }

    #[test]
    fn native_matchers_agree_with_the_interpreter(source in native_program(), request in any_request()) {
        let program = Program::compile(&source).unwrap();
        prop_assert!(program.is_native(), "{}", source);
        let (native, interpreted) = (program.matches(&request), program.interpret(&request));
        prop_assert_eq!(native.clone().ok(), interpreted.clone().ok(), "{}: {:?} {:?}", source, native, interpreted);
    }
}
