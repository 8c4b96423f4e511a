//! Content addresses: SHA-256 over canonical JSON.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::text::as_text;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Digest([u8; 32]);

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl Digest {
    /// The digest of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first of its 64 digits, in ASCII.
    pub(crate) fn digits<const N: usize>(&self) -> [u8; N] {
        std::array::from_fn(|at| {
            let byte = self.0[at / 2];
            DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 15 })]
        })
    }

    /// The first 12 digits: enough to name a thing among people. `{digest:.12}` writes the same.
    pub fn short(&self) -> String {
        format!("{self:.12}")
    }
}

/// The digest of a value's JSON. The types of this crate keep their maps ordered, so equal
/// values have equal digests.
pub fn digest_of<T: Serialize>(value: &T) -> Digest {
    let bytes = serde_json::to_vec(value).expect("the model's types have only string keys");
    Digest::of_bytes(&bytes)
}

impl FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| "a digest has 64 hexadecimal digits".to_owned())
    }
}

fn parse(text: &str) -> Option<Digest> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks() else { return None };
    let byte = |[high, low]: &[u8; 2]| Some(value(*high)? << 4 | value(*low)?);
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    bytes.try_into().ok().map(Digest)
}

as_text!(Digest);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(str::from_utf8(&self.digits::<64>()).expect("digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.12}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sha256() {
        let empty = Digest::of_bytes(b"");
        assert_eq!(empty.short(), "e3b0c44298fc");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!((empty.to_string().as_str(), text.parse::<Digest>()), (text, Ok(empty)));
        for wrong in [
            "abc".to_owned(),
            text.to_uppercase(),
            format!("{text}00"),
            format!("{text}0"),
            "é".repeat(32),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
