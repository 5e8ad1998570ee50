//! One operation: what it takes and what it answers.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

type SchemaOf = fn(&mut SchemaGenerator) -> schemars::Schema;

/// Media type of metrics.
pub(super) const METRICS: &str = "application/openmetrics-text";

/// A method of a path.
pub(super) struct Operation {
    pub(super) path: String,
    pub(super) method: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    /// Name of what its body is.
    takes: Option<&'static str>,
    parameters: Vec<Value>,
    status: u16,
    answer: Answer,
    headers: Map<String, Value>,
    /// Errors beyond those that follow from the rest.
    errors: Vec<u16>,
    is_open: bool,
}

enum Answer {
    /// In the envelope.
    Data(SchemaOf),
    /// A page of these, in the envelope.
    Page(SchemaOf),
    /// A text in the envelope.
    Told(&'static str),
    /// These media types as they are.
    Plain(Vec<(&'static str, Value)>),
    /// A type as it is.
    Bare(SchemaOf),
    /// Never a success.
    Nothing,
}

/// An operation below `/api/v1`.
pub(super) fn operation(
    method: &'static str,
    path: &str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        path: format!("/api/v1{path}"),
        method,
        id,
        tag: "Relayers",
        summary,
        takes: None,
        parameters: Vec::new(),
        status: 200,
        answer: Answer::Told(""),
        headers: Map::new(),
        errors: Vec::new(),
        is_open: false,
    }
}

impl Operation {
    pub(super) const fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    pub(super) const fn takes(mut self, body: &'static str) -> Self {
        self.takes = Some(body);
        self
    }

    pub(super) fn gives<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Data(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub(super) fn makes<T: JsonSchema>(mut self) -> Self {
        self.status = 201;
        self.gives::<T>()
    }

    /// A page of a list, with the parameters that choose it.
    pub(super) fn lists<T: JsonSchema>(mut self) -> Self {
        let number = |name: &str, max: u64, default: u64, description: &str| {
            let schema =
                json!({ "type": "integer", "minimum": 1, "maximum": max, "default": default });
            json!({ "name": name, "in": "query", "description": description, "schema": schema })
        };
        self.answer = Answer::Page(SchemaGenerator::subschema_for::<T>);
        self.query(number(
            "page",
            u64::from(u32::MAX),
            1,
            "Page, counted from 1",
        ))
        .query(number(
            "per_page",
            u64::from(baton_edge::PER_PAGE_MAX),
            10,
            "Most items on the page",
        ))
    }

    pub(super) fn tells(mut self, text: &'static str) -> Self {
        self.answer = Answer::Told(text);
        self
    }

    pub(super) fn plain(mut self, types: &[(&'static str, Value)]) -> Self {
        self.answer = Answer::Plain(types.to_vec());
        self
    }

    pub(super) fn bare<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Bare(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Served for those who try, and always refused.
    pub(super) fn refuses(mut self, error: u16) -> Self {
        self.answer = Answer::Nothing;
        self.may(&[error])
    }

    pub(super) fn query(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// A header of the success.
    pub(super) fn header(mut self, name: &str, value: &str, description: &str) -> Self {
        let schema = json!({ "type": "string", "enum": [value] });
        let header = json!({ "description": description, "schema": schema });
        self.headers.insert(name.to_owned(), header);
        self
    }

    pub(super) fn may(mut self, errors: &[u16]) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Needs no key.
    pub(super) const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    pub(super) fn described(&self, schemas: &mut SchemaGenerator) -> Value {
        let mut described = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": self.parameters(),
            "responses": self.responses(schemas),
        });
        if let Some(body) = self.takes {
            described["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": reference(body) } },
            });
        }
        if !self.is_open {
            described["security"] = json!([{ "bearer_auth": [] }]);
        }
        described
    }

    fn parameters(&self) -> Vec<Value> {
        let names = self.path.split('/').filter_map(|part| {
            part.strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
        });
        let in_path = names.map(|name| {
            let schema = match name {
                "nonce" => json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
                _ => json!({ "type": "string", "minLength": 1 }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        });
        in_path.chain(self.parameters.iter().cloned()).collect()
    }

    fn responses(&self, schemas: &mut SchemaGenerator) -> Map<String, Value> {
        let mut responses = Map::new();
        if let Some(content) = self.content(schemas) {
            let mut success = json!({ "description": "Success", "content": content });
            if !self.headers.is_empty() {
                success["headers"] = Value::Object(self.headers.clone());
            }
            responses.insert(self.status.to_string(), success);
        }
        if let Answer::Bare(_) = self.answer {
            // A report that says that something does not work has the same shape.
            let content = self.content(schemas);
            let response = json!({ "description": "It does not work", "content": content });
            responses.insert("503".to_owned(), response);
        }
        for (status, description, schema) in ERRORS {
            if self.may_answer(status) {
                let content = json!({ "application/json": { "schema": reference(schema) } });
                let response = json!({ "description": description, "content": content });
                responses.insert(status.to_string(), response);
            }
        }
        responses
    }

    fn content(&self, schemas: &mut SchemaGenerator) -> Option<Value> {
        let schema = match &self.answer {
            Answer::Nothing => return None,
            Answer::Plain(types) => {
                let types = types.iter();
                let types =
                    types.map(|(kind, schema)| ((*kind).to_owned(), json!({ "schema": schema })));
                return Some(Value::Object(types.collect()));
            }
            Answer::Bare(schema) => json!(schema(schemas)),
            Answer::Data(schema) => envelope(&json!(schema(schemas))),
            Answer::Told(text) => envelope(&json!({ "type": "string", "enum": [text] })),
            Answer::Page(schema) => {
                let items = schema(schemas);
                let mut page = envelope(&json!({ "type": "array", "items": items }));
                let pagination = schemas.subschema_for::<baton_edge::Pagination>();
                page["properties"]["pagination"] = json!(pagination);
                page["required"] = json!(["success", "data", "error", "pagination"]);
                page
            }
        };
        Some(json!({ "application/json": { "schema": schema } }))
    }

    /// Which errors follow from what it takes.
    fn may_answer(&self, status: u16) -> bool {
        let has_body = self.takes.is_some();
        match status {
            _ if self.errors.contains(&status) => true,
            400 => has_body || !self.parameters.is_empty(),
            404 => self.path.contains('{'),
            413 | 415 => has_body,
            401 | 403 | 429 | 500 | 503 | 504 => !self.is_open,
            _ => false,
        }
    }
}

/// The errors there are, what they mean, and the shape of their body.
const ERRORS: [(u16, &str, &str); 14] = [
    (
        400,
        "The request breaks a rule, which the error names",
        "Error",
    ),
    (401, "No valid key", "Unauthorized"),
    (
        403,
        "The key lacks the permission, or the relayer is paused",
        "Error",
    ),
    (404, "There is no such thing", "Error"),
    (409, "It contradicts what was accepted before", "Error"),
    (413, "The body is too large", "Error"),
    (415, "The body is not JSON", "Error"),
    (
        422,
        "The request is understood, and cannot be done",
        "Error",
    ),
    (429, "Too many requests", "TooManyRequests"),
    (500, "A defect", "Error"),
    (501, "Not supported", "Error"),
    (502, "A node or a key service did not do its part", "Error"),
    (
        503,
        "Not now: nothing was changed, or the error says that the outcome is unknown",
        "Error",
    ),
    (
        504,
        "It took too long; it may still have its effect",
        "Error",
    ),
];

/// Where a schema is.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn envelope(data: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["success", "data", "error"],
        "properties": {
            "success": { "type": "boolean", "enum": [true] },
            "data": data,
            "error": { "type": "null" },
        },
    })
}
