//! How values look in JSON, for the description of the API: forms that types of other crates have there, and texts that
//! only some values are.

use std::borrow::Cow;

use baton_model::TxStatus;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares a form that has no type of its own.
macro_rules! form {
    ($name:ident, $schema:tt) => {
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

form!(Hash, { "type": "string", "pattern": "^0x[0-9a-f]{64}$" });
form!(Address, { "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$" });
form!(Hex, { "type": "string", "pattern": "^0x([0-9a-f]{2})*$" });
form!(Quantity, { "type": "string", "pattern": "^0x(0|[1-9a-f][0-9a-f]*)$" });
form!(Decimal, { "type": "string", "pattern": "^(0|[1-9][0-9]*)$" });
form!(Time, { "type": "string", "format": "date-time" });
form!(Evm, { "type": "string", "enum": ["evm"] });
form!(Speed, { "type": "string", "enum": ["fastest", "fast", "average", "safeLow"] });
form!(Status, { "type": "string", "enum": (TxStatus::ALL.map(TxStatus::as_str)) });
