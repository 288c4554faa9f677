//! Sets of features from a feature store.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::raw::backend::{Breaker, Health};
use crate::read::{Json, Kind, List, Named, Reader, Text, choice, section};
use crate::tree::{Node, Value};
use crate::values::{Dur, Pointer, Url, Whole};

section! {
    /// A set of features.
    FeatureSet = "a feature set" {
        /// The feature store.
        store (required): Store,
        /// Feature references, `view:feature`, in the order in which the model takes them.
        refs (required): List<Text>,
        /// Entity keys, and where the request holds their values.
        entity (required): Named<Pointer>,
        /// Where the values go in the model's request. Default: nowhere, only rules see them.
        into: Into,
        /// Older values are stale. Default: what the store says.
        max_age: Dur,
        /// The last known good values.
        cache: Cache,
        /// Values for features that are missing; a missing one without a default skips the level.
        defaults: Named<Json>,
        /// When the store is left alone.
        breaker: Breaker,
    }
}

section! {
    /// A feature store.
    Store = "`store`" {
        /// Base URL.
        url (required): Url,
        /// What it speaks: feast. Default: feast.
        protocol: StoreProtocol,
        /// How long a retrieval may take. Default: 50ms.
        timeout: Dur,
        /// How it is asked whether it is well. Default: it is not asked.
        health: Health,
    }
}

choice! {
    /// What a feature store speaks.
    StoreProtocol = "a feature store's protocol" { "feast" => (), } -> ()
}

section! {
    /// The last known good values.
    Cache = "`cache`" {
        /// Most entities held. Default: 100000.
        entries: Whole<1, 1_000_000_000>,
        /// Older values are not used. Default: 24h.
        max_age: Dur,
    }
}

section! {
    /// A tensor for the Open Inference Protocol.
    Tensor = "`into`" {
        /// The input's name.
        input (required): Text,
        /// Its datatype. Default: FP64.
        datatype: Datatype,
    }
}

choice! {
    /// A tensor's datatype.
    Datatype = "a datatype" {
        "BOOL" => "BOOL",
        "INT8" => "INT8",
        "INT16" => "INT16",
        "INT32" => "INT32",
        "INT64" => "INT64",
        "UINT8" => "UINT8",
        "UINT16" => "UINT16",
        "UINT32" => "UINT32",
        "UINT64" => "UINT64",
        "FP16" => "FP16",
        "FP32" => "FP32",
        "FP64" => "FP64",
        "BYTES" => "BYTES",
    } -> &'static str
}

/// A tensor, or a JSON pointer.
pub(crate) struct Into;

/// What is written under `into`.
#[derive(Debug)]
pub(crate) enum IntoWord {
    Tensor(Box<Tensor>),
    Pointer(String),
}

impl Kind for Into {
    type Out = IntoWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<IntoWord> {
        match &node.value {
            Value::Text(_) => Pointer::read(node, reader).map(IntoWord::Pointer),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                Tensor::read(node, reader).map(|tensor| IntoWord::Tensor(Box::new(tensor)))
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Tensor::schema(generator), Pointer::schema(generator)] })
    }
}
