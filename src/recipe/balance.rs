//! How a recipe says that task losses become one objective: a method, its parameters, where and how often it looks.

use super::balance_methods::{BalanceMethod, Parameter, ParameterKind};
use indexmap::IndexMap;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// How the task losses are combined. Numbers that a recipe leaves out are there with their default.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// Name of the method; [`BalanceMethod::ALL`] are the names that [`Recipe::validate`](super::Recipe::validate)
    /// takes.
    pub method: String,
    /// Over which numbers the gradients of tasks are compared; of no effect for methods that read losses only.
    pub level: Level,
    /// Steps from one computation of the weights to the next, 1 or more; in between the last ones count.
    pub every: usize,
    /// Weight a task, 1 for tasks that are not named; `fixed` has them, and no other method.
    pub weights: Option<IndexMap<String, f64>>,
    /// Parameters of the method by name.
    pub parameters: IndexMap<String, ParameterValue>,
}

/// Over which numbers the gradients of tasks are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All shared parameters together.
    #[default]
    Trunk,
    /// Each layer's parameters by themselves: every layer has weights of its own.
    Layers,
    /// The hidden states that the heads read: cheaper, and an upper bound (Sener & Koltun 2018, section 3.3).
    Representation,
}

/// Value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// True or false.
    Switch(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// One of several words.
    Word(String),
    /// A list, a table or a date, which no parameter takes.
    Other,
}

impl Balance {
    /// A method with all its defaults.
    pub fn new(method: &str) -> Self {
        let mut balance =
            Self { method: method.into(), level: Level::Trunk, every: 1, weights: None, parameters: IndexMap::new() };
        balance.fill();
        balance
    }

    /// `fixed` with these weights.
    pub fn fixed(weights: IndexMap<String, f64>) -> Self {
        Self { weights: Some(weights), ..Self::new("fixed") }
    }

    /// What is known of the method; `None` for a name of none.
    pub fn known(&self) -> Option<&'static BalanceMethod> {
        BalanceMethod::find(&self.method)
    }

    /// The value of a parameter, or its default.
    pub fn value(&self, name: &str) -> Option<ParameterValue> {
        let default = || self.known()?.parameter(name).map(Parameter::default_value);
        self.parameters.get(name).cloned().or_else(default)
    }

    /// Writes out defaults, in the table's order; whole numbers become numbers where numbers are wanted.
    fn fill(&mut self) {
        let Some(known) = self.known() else { return };
        let mut given = std::mem::take(&mut self.parameters);
        for parameter in known.parameters {
            let value = match (given.shift_remove(parameter.name), &parameter.kind) {
                (None, _) => parameter.default_value(),
                (Some(ParameterValue::Whole(n)), ParameterKind::Number { .. }) => ParameterValue::Number(n as f64),
                (Some(value), _) => value,
            };
            self.parameters.insert(parameter.name.to_owned(), value);
        }
        self.parameters.extend(given);
    }
}

impl Default for Balance {
    fn default() -> Self {
        Self::new("equal")
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("method", &self.method)?;
        map.serialize_entry("level", &self.level)?;
        map.serialize_entry("every", &self.every)?;
        for (name, value) in &self.parameters {
            map.serialize_entry(name, value)?;
        }
        // TOML wants tables last.
        if let Some(weights) = &self.weights {
            map.serialize_entry("weights", weights)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// Reads names and types; whether they are those of the method is checked with the whole recipe.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Balance;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with a `method`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Balance, A::Error> {
        let mut method = None;
        let mut balance = Balance { parameters: IndexMap::new(), ..Balance::default() };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "method" => method = Some(map.next_value::<String>()?),
                "level" => balance.level = map.next_value()?,
                "every" => balance.every = map.next_value()?,
                "weights" => balance.weights = Some(map.next_value()?),
                _ => drop(balance.parameters.insert(key, map.next_value()?)),
            }
        }
        balance.method = method.ok_or_else(|| A::Error::missing_field("method"))?;
        balance.fill();
        Ok(balance)
    }
}

impl Serialize for ParameterValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Switch(value) => serializer.serialize_bool(*value),
            Self::Whole(value) => serializer.serialize_i64(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Word(value) => serializer.serialize_str(value),
            Self::Other => serializer.serialize_str("?"),
        }
    }
}

impl<'de> Deserialize<'de> for ParameterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = ParameterValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a word, true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Switch(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ParameterValue, E> {
        Ok(i64::try_from(value).map_or(ParameterValue::Number(value as f64), ParameterValue::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Word(value.into()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<ParameterValue, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(ParameterValue::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParameterValue, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(ParameterValue::Other)
    }
}

/// As a recipe writes it.
impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Word(value) => write!(f, "\"{value}\""),
            Self::Other => f.write_str("a table or list"),
        }
    }
}

impl From<f64> for ParameterValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<i64> for ParameterValue {
    fn from(value: i64) -> Self {
        Self::Whole(value)
    }
}

impl From<bool> for ParameterValue {
    fn from(value: bool) -> Self {
        Self::Switch(value)
    }
}

impl From<&str> for ParameterValue {
    fn from(value: &str) -> Self {
        Self::Word(value.into())
    }
}
