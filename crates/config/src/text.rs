//! Values that remember where they were written.
//!
//! [`At`] is a value with its place in the file. [`Text`] is a string that stands for
//! something else, such as a version: it is read as it is, and parsed later, so that one bad
//! version does not hide the next.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ops::Range;

use refit_model::{
    AddonName, AddonVersion, ChannelName, ClusterName, Code, Day, FleetName, Freeze, GroupName,
    KubeVersion, MaxVersion, Minor, Period, PoolName, ReleaseName, VersionRange, WorkloadRef, Zone,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A place in a file, in bytes.
pub(crate) type Span = Range<usize>;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) span: Span,
    pub(crate) value: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: Ord> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

/// A string that stands for a `T`, and its place.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "it is the text, as opposed to what it stands for")]
pub(crate) struct Text<T> {
    pub(crate) span: Span,
    pub(crate) text: String,
    stands_for: PhantomData<T>,
}

impl<T> Text<T> {
    /// A text that stands in no file.
    pub(crate) const fn at(span: Span, text: String) -> Self {
        Self { span, text, stands_for: PhantomData }
    }
}

impl<T> Clone for Text<T> {
    fn clone(&self) -> Self {
        Self { span: self.span.clone(), text: self.text.clone(), stands_for: PhantomData }
    }
}

impl<T> PartialEq for Text<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Text<T> {}

impl<T> PartialOrd for Text<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Text<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl<'de, T> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), text: spanned.into_inner(), stands_for: PhantomData })
    }
}

/// What a string looks like that stands for this type.
pub(crate) trait Format {
    /// The type's name in the schema.
    const NAME: &'static str;
    /// A regular expression for editors. The parser of the type decides, and says it better.
    const PATTERN: &'static str;
    /// How to write it, when the parser does not say.
    const HINT: &'static str;
}

impl<T: Format> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": T::PATTERN })
    }
}

const PLAIN_NAME: &str = "^[A-Za-z0-9._-]{1,255}$";
const PLAIN_HINT: &str = "a name has letters, digits, `-`, `_` and `.`";
const KUBE_VERSION: &str = r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+_-]+)?$";
const MAX_VERSION: &str = r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)(\.(0|[1-9]\d*)([-+][0-9A-Za-z.+_-]+)?)?$";
const FREEZE: &str = r"^\s*(until\s+\d{4}-\d{2}-\d{2}\s*(,.*)?|.*\S.*)$";
const SEMVER: &str =
    r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$";
const MINOR_RANGE: &str =
    r"^\s*(any|(>=|>|<=|<|=)\s*v?\d+\.\d+\s*(,\s*(>=|>|<=|<|=)\s*v?\d+\.\d+\s*)*)\s*$";
const VERSION_RANGE: &str = r"^\s*(any|(>=|>|<=|<|=)\s*v?\d+\.\d+\.\d+[0-9A-Za-z.+-]*\s*(,\s*(>=|>|<=|<|=)\s*v?\d+\.\d+\.\d+[0-9A-Za-z.+-]*\s*)*)\s*$";

macro_rules! formats {
    ($($name:ty, $label:literal, $pattern:expr, $hint:expr;)*) => {$(
        impl Format for $name {
            const NAME: &'static str = $label;
            const PATTERN: &'static str = $pattern;
            const HINT: &'static str = $hint;
        }
    )*};
}

formats! {
    FleetName, "FleetName", PLAIN_NAME, PLAIN_HINT;
    ClusterName, "ClusterName", PLAIN_NAME, PLAIN_HINT;
    ChannelName, "ChannelName", PLAIN_NAME, PLAIN_HINT;
    ReleaseName, "ReleaseName", PLAIN_NAME, PLAIN_HINT;
    AddonName, "AddonName", PLAIN_NAME, PLAIN_HINT;
    PoolName, "PoolName", PLAIN_NAME, PLAIN_HINT;
    Zone, "Zone", PLAIN_NAME, PLAIN_HINT;
    GroupName, "GroupName", "^.{1,255}$", "";
    KubeVersion, "KubernetesVersion", KUBE_VERSION, "";
    MaxVersion, "MaxVersion", MAX_VERSION, "";
    Code, "FindingCode", r"^RF\d{3}$", "docs/reference/findings.md lists the codes of findings";
    Day, "Day", r"^\d{4}-\d{2}-\d{2}$", "";
    Freeze, "Freeze", FREEZE, "write `until 2027-01-04, peak season`, or a reason alone";
    AddonVersion, "AddonVersion", SEMVER, "";
    VersionRange<Minor>, "KubernetesRange", MINOR_RANGE, "a range is written as `>=1.29, <=1.33`";
    VersionRange<AddonVersion>, "AddonRange", VERSION_RANGE, "a range is written as `>=1.2.0, <2.0.0`";
    Period, "Duration", r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$", "";
    WorkloadRef, "Workload", "^[^/]+/[^/]+/[^/]+$", "";
}

/// A number of nodes, or a percentage of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Quantity {
    /// A number.
    Int(u32),
    /// What should be a percentage.
    Text(String),
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            { "type": "string", "pattern": r"^(\d{1,2}|100)%$|^\d+$" },
        ]})
    }
}
