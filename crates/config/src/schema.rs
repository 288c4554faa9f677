//! The JSON Schema of the config, for editors.

use schemars::generate::SchemaSettings;

use crate::raw::Root;

/// The JSON Schema (draft 2020-12) of `mainstay.yaml`. It says what keys there are, what they take and what their
/// defaults are; `check` knows more.
///
/// ```
/// let schema = mainstay_config::schema();
/// assert_eq!(schema["properties"]["service"]["type"], "string");
/// ```
pub fn schema() -> serde_json::Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Root>();
    schema.insert("title".to_owned(), "mainstay.yaml".into());
    schema.to_value()
}
