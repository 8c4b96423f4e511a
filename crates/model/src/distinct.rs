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
        // Files of refit list keys in order, and a map that is made of them at once is packed: one that
        // grows by ever larger keys is half empty.
        let mut ascending: Vec<(K, V)> = Vec::new();
        let mut others: BTreeMap<K, V> = BTreeMap::new();
        while let Some(key) = access.next_key::<K>()? {
            if ascending.last().is_none_or(|(last, _)| *last < key) {
                ascending.push((key, access.next_value()?));
                continue;
            }
            let twice = ascending.binary_search_by(|(other, _)| other.cmp(&key)).is_ok();
            if twice || others.contains_key(&key) {
                return Err(Error::custom(format!("`{key}` is listed twice")));
            }
            others.insert(key, access.next_value()?);
        }
        let mut map = BTreeMap::from_iter(ascending);
        map.append(&mut others);
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
        assert_eq!(
            read(&[], r#""i-3":1,"i-1":1,"i-4":1,"i-1":1"#).unwrap_err(),
            "`i-1` is listed twice at line 2 column 40"
        );
        assert!(read(&[], "1").is_err());
    }

    #[test]
    fn keys_may_stand_in_any_order() {
        let ids = |text: &str| {
            let numbers = read(&[], text).unwrap().numbers;
            numbers.into_iter().map(|(id, number)| format!("{id}={number}")).collect::<Vec<_>>()
        };
        let read = ids(r#""i-3":3,"i-5":5,"i-1":1,"i-6":6,"i-4":4,"i-2":2"#);
        assert_eq!(read, ["i-1=1", "i-2=2", "i-3=3", "i-4=4", "i-5=5", "i-6=6"]);
    }
}
