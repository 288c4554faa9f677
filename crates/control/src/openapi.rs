//! The admin API's description (OpenAPI 3.1), made from the table that makes the router.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::endpoints::{self, Answer, Endpoint};
use crate::problem::Problem;

/// The document of `GET /openapi.json`.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>().to_value();
    let mut paths = Map::new();
    for endpoint in endpoints::all() {
        let methods = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        methods[endpoint.method.as_str().to_ascii_lowercase()] = operation(&endpoint, &problem, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mainstay admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "security": [{ "bearer": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint, problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "responses": responses(endpoint, problem, generator),
    });
    let parameters: Vec<Value> = parameters(endpoint.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(schema) = endpoint.request {
        let schema = schema(generator);
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn responses(endpoint: &Endpoint, problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let (status, content) = match &endpoint.answer {
        Answer::Json(schema) => ("200", json!({ "application/json": { "schema": schema(generator) } })),
        Answer::Object => ("200", json!({ "application/json": { "schema": { "type": "object" } } })),
        Answer::Text(types) => {
            let schema = json!({ "schema": { "type": "string" } });
            ("200", types.iter().map(|media| ((*media).to_owned(), schema.clone())).collect())
        }
        Answer::Nothing => ("204", Value::Null),
    };
    let mut success = json!({ "description": "Done" });
    if !content.is_null() {
        success["content"] = content;
    }
    responses.insert(status.to_owned(), success);
    let failure =
        |what: &str| json!({ "description": what, "content": { "application/problem+json": { "schema": problem } } });
    for status in endpoint.problems {
        responses.insert(status.to_string(), failure("A problem document"));
    }
    responses.insert("default".to_owned(), failure("Any failure is a problem document"));
    Value::Object(responses)
}

/// The names in braces.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
