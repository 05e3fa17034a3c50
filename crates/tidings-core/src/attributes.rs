//! What an application says about a subscription, for filters and templates.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Attributes of one subscription: at most [`MAX_ATTRIBUTES`], flat.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Attributes(BTreeMap<String, AttributeValue>);

/// Attributes a subscription may have.
pub const MAX_ATTRIBUTES: usize = 50;
const MAX_NAME_CHARACTERS: usize = 64;
const MAX_TEXT_BYTES: usize = 256;
const MAX_LIST_LENGTH: usize = 50;

/// One attribute's value.
#[derive(Clone, PartialEq, Debug)]
pub enum AttributeValue {
    /// Text of at most 256 octets.
    Text(String),
    /// A finite number.
    Number(serde_json::Number),
    /// True or false.
    Bool(bool),
    /// At most 50 texts.
    List(Vec<String>),
}

/// Why attributes were refused: where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct AttributesError {
    /// The attribute's name, or nothing where the whole object is meant.
    pub name: Option<String>,
    /// What is wrong with it and what would be right.
    pub what: &'static str,
}

impl Attributes {
    /// Checks the shape and the limits of a JSON object.
    pub fn from_json(object: &Map<String, Value>) -> Result<Self, AttributesError> {
        if object.len() > MAX_ATTRIBUTES {
            return Err(AttributesError {
                name: None,
                what: "there can be at most 50 attributes",
            });
        }
        let mut attributes = BTreeMap::new();
        for (name, value) in object {
            let refused = |what| AttributesError {
                name: Some(name.clone()),
                what,
            };
            if !is_name(name) {
                return Err(refused(
                    "an attribute's name has 1 to 64 characters of A-Z, a-z, 0-9 and _, \
                     the first one not a digit",
                ));
            }
            attributes.insert(name.clone(), read_value(value).map_err(refused)?);
        }
        Ok(Self(attributes))
    }

    /// The same as a JSON object.
    pub fn to_json(&self) -> Map<String, Value> {
        self.0
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    AttributeValue::Text(text) => Value::from(text.as_str()),
                    AttributeValue::Number(number) => Value::Number(number.clone()),
                    AttributeValue::Bool(truth) => Value::Bool(*truth),
                    AttributeValue::List(texts) => Value::from(texts.clone()),
                };
                (name.clone(), value)
            })
            .collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_CHARACTERS
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn read_value(value: &Value) -> Result<AttributeValue, &'static str> {
    match value {
        Value::String(text) if text.len() <= MAX_TEXT_BYTES => {
            Ok(AttributeValue::Text(text.clone()))
        }
        Value::String(_) => Err("an attribute's text can have at most 256 octets"),
        Value::Number(number) => Ok(AttributeValue::Number(number.clone())),
        Value::Bool(truth) => Ok(AttributeValue::Bool(*truth)),
        Value::Array(items) if items.len() <= MAX_LIST_LENGTH => items
            .iter()
            .map(|item| match item {
                Value::String(text) if text.len() <= MAX_TEXT_BYTES => Ok(text.clone()),
                _ => Err("a list holds texts of at most 256 octets and nothing else"),
            })
            .collect::<Result<_, _>>()
            .map(AttributeValue::List),
        Value::Array(_) => Err("a list can have at most 50 texts"),
        Value::Object(_) | Value::Null => {
            Err("an attribute is a text, a number, true, false, or a list of texts")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Attributes, AttributesError> {
        match value {
            Value::Object(object) => Attributes::from_json(&object),
            _ => unreachable!("tests pass objects"),
        }
    }

    #[test]
    fn keeps_what_it_was_given() {
        let object =
            json!({"plan": "pro", "age": 3, "rate": 1.5, "beta": true, "tags": ["a", "b"]});
        let attributes = read(object.clone()).unwrap();
        assert_eq!(Value::Object(attributes.to_json()), object);
    }

    #[test]
    fn names_what_it_refuses() {
        for (object, name) in [
            (json!({"a": null}), "a"),
            (json!({"b": {"c": 1}}), "b"),
            (json!({"c": [1]}), "c"),
            (json!({"1d": 1}), "1d"),
            (json!({"": 1}), ""),
            (json!({"e": "x".repeat(257)}), "e"),
        ] {
            assert_eq!(read(object).unwrap_err().name.as_deref(), Some(name));
        }
        let many: Map<String, Value> = (0..51).map(|i| (format!("a{i}"), json!(1))).collect();
        assert_eq!(Attributes::from_json(&many).unwrap_err().name, None);
    }
}
