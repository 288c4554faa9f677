//! What editors are told of faults.

use schemars::{Schema, json_schema};

/// One fault by its name.
pub(super) fn schema(duration: &Schema) -> Schema {
    let delay = |about: &str| {
        json_schema!({
            "description": about,
            "oneOf": [
                one("fixed", duration),
                one("lognormal", &object(&json_schema!({ "median": duration, "sigma": { "type": "number", "exclusiveMinimum": 0, "maximum": 3 } }), true)),
                one("pareto", &object(&json_schema!({ "least": duration, "alpha": { "type": "number", "minimum": 0.5, "maximum": 10 } }), true)),
            ],
        })
    };
    let failing = |ways: &[&str]| {
        object(
            &json_schema!({
                "how": { "enum": ways, "description": "In which way. Default: status." },
                "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "With `how: status`. Default: 503." },
                "retry_after": duration,
            }),
            false,
        )
    };
    let after = object(&json_schema!({ "parts": { "type": "integer", "minimum": 0 } }), true);
    let spoiled = json_schema!({
        "type": "object",
        "additionalProperties": false,
        "required": ["change"],
        "properties": {
            "change": {
                "oneOf": [
                    { "enum": ["missing", "swapped", "out_of_range"] },
                    one("shifted", &json_schema!({ "type": "number" })),
                    one("scaled", &json_schema!({ "type": "number" })),
                ],
            },
            "refs": { "type": "array", "items": { "type": "string" }, "description": "Default: all of the set." },
        },
    });
    let version = object(&json_schema!({ "model": { "type": "string" }, "version": { "type": "string" } }), false);
    let shape = object(&json_schema!({ "how": { "enum": ["broken", "empty", "other_shape"] } }), true);
    let factor = json_schema!({ "type": "number", "exclusiveMinimum": 1, "maximum": 100 });
    json_schema!({
        "description": "What goes wrong.",
        "oneOf": [
            one("model_error", &failing(&["status", "connect", "tls", "reset", "error_body"])),
            one("model_latency", &delay("A backend answers later.")),
            one("feature_latency", &delay("A feature store answers later.")),
            one("feature_error", &failing(&["status", "connect", "tls", "reset"])),
            one("stale_features", &object(&json_schema!({ "age": duration }), true)),
            one("data_quality", &spoiled),
            one("wrong_version", &version),
            one("slow_first_token", &delay("A streamed answer begins later.")),
            one("stalled_stream", &after),
            one("truncated_stream", &after),
            one("malformed_answer", &shape),
            one("overload", &object(&json_schema!({ "factor": factor }), true)),
        ],
    })
}

/// A map of one key.
fn one(key: &str, of: &Schema) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": false, "required": [key], "properties": { key: of } })
}

/// A map of these keys, all of them or any.
fn object(properties: &Schema, is_whole: bool) -> Schema {
    let keys: Vec<&String> = properties.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
    let required = if is_whole { keys } else { Vec::new() };
    json_schema!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}
