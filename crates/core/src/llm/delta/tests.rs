use super::*;

fn read_all(dialect: Dialect, events: &[(&str, &str)]) -> Vec<Said> {
    let mut reader = Reader::new(dialect);
    let mut read = |(name, data): &(&str, &str)| {
        reader.read(&mut Event { name: (*name).to_owned(), data: data.as_bytes().to_vec() })
    };
    events.iter().map(&mut read).collect()
}

fn openai(data: &str) -> Said {
    read_all(Dialect::OpenaiChat, &[("", data)]).remove(0)
}

fn pieces(said: Said) -> Vec<What> {
    let Said::Part(part) = said else { panic!("{said:?}") };
    part.pieces.into_iter().map(|piece| piece.what).collect()
}

fn text(text: &str) -> What {
    What::Text(text.to_owned())
}

/// Chunks as servers send them that speak OpenAI's dialect in their own ways.
#[test]
fn chunks_of_all_kinds_of_servers_are_read() {
    let thought = |text: &str| What::Reasoning(text.to_owned());
    for (chunk, said) in [
        // vLLM: usage in every chunk, a stop reason of its own, what it thinks under two names.
        (
            r#"{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":null}],"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}}"#,
            vec![text("a")],
        ),
        (r#"{"choices":[{"index":0,"delta":{"reasoning":"t","reasoning_content":"t"}}]}"#, vec![thought("t")]),
        // OpenAI: an obfuscating field, a role with the first text.
        (
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"a","refusal":null}}],"obfuscation":"x1"}"#,
            vec![text("a")],
        ),
        (
            r#"{"choices":[{"index":0,"delta":{"refusal":"No."},"finish_reason":null}]}"#,
            vec![What::Refusal("No.".to_owned())],
        ),
        // Azure: what its filter saw, before the first choice.
        (
            r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}"#,
            vec![],
        ),
        // Mistral: what it thinks as a list of parts.
        (
            r#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"a"}]}}]}"#,
            vec![thought("t"), text("a")],
        ),
        // Others: null for a number, arguments as an object, both names of tokens at once, null for the choices.
        (r#"{"choices":[{"index":null,"delta":{"content":"a"}}]}"#, vec![text("a")]),
        (
            r#"{"id":7,"choices":[{"delta":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":{"a":1}}}]}}]}"#,
            vec![What::Tool {
                index: 0,
                id: Some("c".to_owned()),
                name: Some("f".to_owned()),
                arguments: r#"{"a":1}"#.to_owned(),
            }],
        ),
        (
            r#"{"choices":null,"usage":{"prompt_tokens":1.0,"input_tokens":1,"completion_tokens":2,"output_tokens":2}}"#,
            vec![],
        ),
        (
            r#"{"choices":[{"index":0,"text":"a","finish_reason":"length"}]}"#,
            vec![text("a"), What::Finish(Finish::Length)],
        ),
    ] {
        assert_eq!(pieces(openai(chunk)), said, "{chunk}");
    }
}

#[test]
fn choices_are_seen_before_they_say_anything() {
    let Said::Part(part) = openai(
        r#"{"choices":[{"index":0,"delta":{"role":"assistant"}},{"index":3,"delta":{"role":"assistant","content":""}},{"index":4000000000}]}"#,
    ) else {
        panic!("a part")
    };
    assert!(part.is_opening && part.pieces.is_empty());
    assert_eq!(part.choices, 1 | 1 << 3 | 1 << 127);
}

#[test]
fn errors_are_told_in_all_their_shapes() {
    let error = |kind: &str, code: &str, message: &str| {
        Said::Error(Told { kind: kind.to_owned(), code: code.to_owned(), message: message.to_owned() })
    };
    for (name, data, said) in [
        (
            "",
            r#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#,
            error("server_error", "", "m"),
        ),
        ("error", r#"{"message":"m","type":"t"}"#, error("t", "", "m")),
        (
            "",
            r#"{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}"#,
            error("BadRequestError", "400", "m"),
        ),
        ("", r#"{"error":"m","error_type":"overloaded"}"#, error("", "", "m")),
    ] {
        assert_eq!(read_all(Dialect::OpenaiChat, &[(name, data)]), [said], "{data}");
    }
    for (name, data, said) in [
        (
            "error",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            error("overloaded_error", "", "Overloaded"),
        ),
        ("error", r#"{"message":"m"}"#, error("", "", "m")),
        ("", r#"{"error":{"message":"m","type":"t","code":"c"}}"#, error("t", "c", "m")),
    ] {
        assert_eq!(read_all(Dialect::AnthropicMessages, &[(name, data)]), [said], "{data}");
    }
    assert!(matches!(openai(r#"{"error":null,"choices":[]}"#), Said::Part(_)));
    // Ends in a shape that is not the dialect's are ends all the same: nothing may come after them.
    let ends = [("", r#"{"type":"message_stop","index":null}"#), ("", r#"{"type":"error","index":null}"#)];
    assert!(matches!(read_all(Dialect::AnthropicMessages, &ends)[..], [Said::End, Said::Error(_)]));
}

#[test]
fn what_is_no_json_or_no_text_is_malformed() {
    for data in ["", "{", "<html>", "[]", "7", "null", "[{\"error\":{}}]"] {
        for dialect in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
            assert_eq!(read_all(dialect, &[("", data)]), [Said::Malformed], "{dialect:?} {data}");
        }
    }
    // A byte that is no UTF-8, in a field that nobody looks at.
    let mut event = Event { name: String::new(), data: b"{\"x\":\"\x80\",\"choices\":[]}".to_vec() };
    assert_eq!(Reader::new(Dialect::OpenaiChat).read(&mut event), Said::Malformed);
}

/// As Anthropic streams an answer that thinks, speaks and calls a tool.
#[test]
fn anthropic_thinks_speaks_and_calls() {
    let events = [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I look."}}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"look","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"at\":1}"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let (mut reader, mut usage, mut said) = (Reader::new(Dialect::AnthropicMessages), Usage::default(), Vec::new());
    for data in events {
        let mut event = Event { name: String::new(), data: data.as_bytes().to_vec() };
        match reader.read(&mut event) {
            Said::Part(part) => {
                usage = part.usage.or(usage);
                said.extend(part.pieces.into_iter().map(|piece| piece.what));
            }
            Said::Nothing => {}
            other => assert_eq!(other, Said::End),
        }
        assert!(data.starts_with(&format!("{{\"type\":\"{}\"", event.name)), "the name that a proxy left out");
    }
    let tool = |id: Option<&str>, name: Option<&str>, arguments: &str| What::Tool {
        index: 0,
        id: id.map(ToOwned::to_owned),
        name: name.map(ToOwned::to_owned),
        arguments: arguments.to_owned(),
    };
    let expected = [
        What::Reasoning("Hm.".to_owned()),
        text("I look."),
        tool(Some("toolu_1"), Some("look"), ""),
        tool(None, None, "{\"at\":1}"),
        What::Finish(Finish::Tool),
    ];
    assert_eq!(said, expected);
    assert_eq!(usage, Usage { input: Some(7), output: Some(9) });
}
