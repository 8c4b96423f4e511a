//! Content addresses: SHA-256 over canonical JSON.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::text::as_text;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Digest(Arc<str>);

impl Digest {
    /// The digest of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let digits = digits::<64>(bytes);
        Self(str::from_utf8(&digits).expect("digits are ASCII").into())
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits: enough to name a thing among people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// The first hexadecimal digits of the SHA-256 of bytes: at most 64.
pub(crate) fn digits<const N: usize>(bytes: &[u8]) -> [u8; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha256::digest(bytes);
    std::array::from_fn(|at| {
        let byte = hash[at / 2];
        DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 15 })]
    })
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
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == 64 && hex {
            Ok(Self(text.into()))
        } else {
            Err("a digest has 64 hexadecimal digits".to_owned())
        }
    }
}

as_text!(str: Digest);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sha256() {
        let empty = Digest::of_bytes(b"");
        assert_eq!(empty.short(), "e3b0c44298fc");
        assert_eq!(empty.as_str().parse::<Digest>().unwrap(), empty);
        assert!("abc".parse::<Digest>().is_err());
    }
}
