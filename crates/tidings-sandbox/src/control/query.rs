use std::collections::BTreeMap;

use crate::problem::Problem;

/// The parameters of a URL, all of them known and none given twice.
pub(crate) struct Query {
    parameters: BTreeMap<String, String>,
}

impl Query {
    pub(crate) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let known = known.join(", ");
                return Err(Problem::bad_request(format!(
                    "unknown parameter {name}: known here are {known}"
                )));
            }
            let repeated = parameters.insert(name.clone().into_owned(), value.into_owned());
            if repeated.is_some() {
                return Err(Problem::bad_request(format!(
                    "the parameter {name} is there twice"
                )));
            }
        }
        Ok(Self { parameters })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The value of a parameter that must be there; `hint` says what to write.
    pub(crate) fn require(&self, name: &str, hint: &str) -> Result<&str, Problem> {
        self.get(name)
            .ok_or_else(|| Problem::bad_request(format!("the parameter {name} is missing: {hint}")))
    }
}
