//! Lists and maps of files in which nothing may stand twice: whoever reads them would else take one
//! of two for the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What is told from others of its kind by a name or an id.
pub(crate) trait Named {
    /// What it is, for an error.
    const WHAT: &'static str;
    /// The name or the id.
    type Name: Ord + fmt::Display;

    fn name(&self) -> &Self::Name;
}

/// Reads a list of things with different names.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Named,
{
    let list = Vec::<T>::deserialize(deserializer)?;
    let mut names = BTreeSet::new();
    match list.iter().find(|each| !names.insert(each.name())) {
        Some(twin) => Err(Error::custom(format!("{} `{}` is listed twice", T::WHAT, twin.name()))),
        None => Ok(list),
    }
}

/// Reads a map in which no key stands twice.
pub(crate) fn map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    deserializer.deserialize_map(Distinct(PhantomData))
}

struct Distinct<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Distinct<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = access.next_key::<K>()? {
            if map.contains_key(&key) {
                return Err(Error::custom(format!("`{key}` is listed twice")));
            }
            map.insert(key, access.next_value()?);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use crate::{ImageState, InstanceId};

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Document {
        #[serde(deserialize_with = "list")]
        images: Vec<ImageState>,
        #[serde(deserialize_with = "map")]
        numbers: BTreeMap<InstanceId, u8>,
    }

    fn read(images: &[&str], numbers: &str) -> Result<Document, String> {
        let image = |id: &&str| {
            format!(
                r#"{{"id":"{id}","name":"n","owner":"self","architecture":"arm64","created":"2026-11-02T09:00:00Z"}}"#
            )
        };
        let images: Vec<String> = images.iter().map(image).collect();
        let text = format!("{{\"images\":[{}],\n\"numbers\":{{{numbers}}}}}", images.join(","));
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_stands_twice_is_refused_with_its_place() {
        let read_well = read(&["ami-1", "ami-2"], r#""i-1":1,"i-2":2"#).unwrap();
        assert_eq!((read_well.images.len(), read_well.numbers.len()), (2, 2));
        assert_eq!(
            read(&["ami-1", "ami-1"], "").unwrap_err(),
            "the image `ami-1` is listed twice at line 1 column 205"
        );
        assert_eq!(
            read(&[], r#""i-1":1,"i-1":1"#).unwrap_err(),
            "`i-1` is listed twice at line 2 column 24"
        );
        assert!(read(&[], "1").is_err());
    }
}
