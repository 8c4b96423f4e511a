//! The ids of actions. In a large plan nothing is compared and copied as often, so an id is its text
//! and nothing else.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::Digest;
use crate::id::{self, InvalidName};
use crate::text::as_text;

/// The id of an action: a stable digest of its target, kind and hop, at most 12 letters, digits, `-`,
/// `_` and `.`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct ActionId([u8; Self::LENGTH_MAX]);

/// As their texts: large plans are sorted by ids, so they are compared as numbers.
impl Ord for ActionId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for ActionId {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ActionId {
    /// As many digits as [`Digest::short`](crate::Digest::short) has.
    pub const LENGTH_MAX: usize = 12;

    /// The first digits of the digest of a value's JSON.
    pub(crate) fn digest_of<T: Serialize>(value: &T) -> Self {
        let bytes = serde_json::to_vec(value).expect("what is digested has only string keys");
        Self(Digest::of_bytes(&bytes).digits())
    }

    /// The first eight bytes of the text as a number: the lower one is that of the lower id.
    #[inline]
    pub fn head(&self) -> u64 {
        self.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
    }

    /// The bytes of the text as a number.
    #[inline]
    fn number(self) -> u128 {
        let mut bytes = [0; 16];
        bytes[..Self::LENGTH_MAX].copy_from_slice(&self.0);
        u128::from_be_bytes(bytes)
    }

    /// The id as it was written.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::LENGTH_MAX);
        str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

impl FromStr for ActionId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        id::check(text, "an action id", Self::LENGTH_MAX, id::plain)?;
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }
}

as_text!(str: ActionId);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ActionId {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_ordered_as_their_texts() {
        let texts = ["0", "00", "0a", "1", "9f3c2b7d01aa", "9f3c2b7d01ab", "a", "a1", "a2"];
        assert!(texts.is_sorted());
        assert!(texts.map(id).is_sorted_by(|a, b| a < b));
        assert!(texts.map(id).is_sorted_by_key(ActionId::head));
        assert!(id("9f3c2b7d").head() < id("9f3c2b7e").head());
        assert_eq!(texts.map(id).map(|id| id.to_string()), texts);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let refused = |text: &str| text.parse::<ActionId>().unwrap_err().to_string();
        assert_eq!(refused(""), "an action id is empty");
        assert_eq!(refused("9f3c2b7d01aa0"), "an action id has 13 bytes; at most 12 are allowed");
        assert_eq!(refused("a b"), "an action id `a b` contains ` `");
        assert_eq!(refused("é"), "an action id `é` contains `é`");
    }
}
