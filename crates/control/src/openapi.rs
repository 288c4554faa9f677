//! The admin API's description (OpenAPI 3.1), made from the table that makes the router.

use mainstay_core::plan::Role;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::endpoints::{self, Answer, Endpoint};
use crate::problem::Problem;

/// The document of `GET /openapi.json`.
pub fn document() -> Value {
    let mut schemas = Schemas { sent: generator(Direction::Sent), received: generator(Direction::Received) };
    let mut paths = Map::new();
    for endpoint in endpoints::all() {
        let methods = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        methods[endpoint.method.as_str().to_ascii_lowercase()] = operation(&endpoint, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mainstay admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.definitions(),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// What is optional depends on who writes it: an answer always has a field that a request may leave out.
struct Schemas {
    sent: SchemaGenerator,
    received: SchemaGenerator,
}

#[derive(Clone, Copy)]
enum Direction {
    Sent,
    Received,
}

fn generator(direction: Direction) -> SchemaGenerator {
    let mut settings = match direction {
        Direction::Sent => SchemaSettings::draft2020_12().for_serialize(),
        Direction::Received => SchemaSettings::draft2020_12().for_deserialize(),
    };
    settings.definitions_path = "/components/schemas".into();
    settings.into_generator()
}

impl Schemas {
    fn definitions(mut self) -> Map<String, Value> {
        let mut definitions = self.sent.take_definitions(true);
        definitions.extend(self.received.take_definitions(true));
        definitions
    }
}

fn operation(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "responses": responses(endpoint, &mut schemas.sent),
        "security": security(endpoint.role),
    });
    let of_path = parameters(endpoint.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let of_query = endpoint.parameters.iter().map(|asked| {
        json!({ "name": asked.name, "in": "query", "description": asked.about, "schema": { "type": "string" } })
    });
    let parameters: Vec<Value> = of_path.chain(of_query).collect();
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = &endpoint.request {
        let schema = json!({ "schema": (body.schema)(&mut schemas.received) });
        let content: Map<String, Value> =
            body.media.iter().map(|media| ((*media).to_owned(), schema.clone())).collect();
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

/// The role stands where OpenAPI 3.1 has it. Nothing is asked for where no tokens are configured.
fn security(role: Option<Role>) -> Value {
    role.map_or_else(|| json!([{}]), |role| json!([{ "bearer": [role.name()] }, {}]))
}

fn responses(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let (status, content) = match &endpoint.answer {
        Answer::Json(schema) => ("200", json!({ "application/json": { "schema": schema(generator) } })),
        Answer::Object => ("200", json!({ "application/json": { "schema": { "type": "object" } } })),
        Answer::Text(types) => {
            let schema = json!({ "schema": { "type": "string" } });
            ("200", types.iter().map(|media| ((*media).to_owned(), schema.clone())).collect())
        }
        Answer::Accepted(schema) => ("202", json!({ "application/json": { "schema": schema(generator) } })),
        Answer::Nothing => ("204", json!({})),
    };
    let problem = json!({ "application/problem+json": { "schema": generator.subschema_for::<Problem>() } });
    let mut responses = Map::new();
    responses.insert(status.to_owned(), json!({ "description": "Done", "content": content }));
    for status in endpoint.problems {
        responses.insert(status.to_string(), json!({ "description": "A problem document", "content": problem }));
    }
    let any = json!({ "description": "Any failure is a problem document", "content": problem });
    responses.insert("default".to_owned(), any);
    Value::Object(responses)
}

/// The names in braces.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
