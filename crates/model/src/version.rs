//! Versions of Kubernetes and of add-ons.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;

use crate::text::as_text;

/// A text that is not a version, with what a version looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not {expected}", crate::text::quoted(.text))]
pub struct InvalidVersion {
    text: String,
    expected: &'static str,
}

/// A Kubernetes minor version such as `1.34`. The skew policy compares these, never patches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Minor {
    /// Always 1 so far.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
}

impl Minor {
    /// The minor `1.n`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// The next minor.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { major: self.major, minor: self.minor.saturating_add(1) }
    }

    /// The minor before; the first one is its own.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self { major: self.major, minor: self.minor.saturating_sub(1) }
    }

    /// How many minors `self` is behind `newer`; 0 when it is not behind.
    pub fn behind(self, newer: Self) -> u16 {
        if self.major == newer.major { newer.minor.saturating_sub(self.minor) } else { u16::MAX }
    }
}

impl FromStr for Minor {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let parse = || {
            let (major, minor) = text.strip_prefix('v').unwrap_or(text).split_once('.')?;
            Some(Self { major: number(major)?, minor: number(minor)? })
        };
        parse().ok_or_else(|| InvalidVersion {
            text: text.to_owned(),
            expected: "a Kubernetes minor version such as `1.34`",
        })
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, format_args!("{}.{}", self.major, self.minor))
    }
}

/// A Kubernetes version, parsed once at the edge.
///
/// Accepts what apiservers and kubelets report: `v1.34.3`, `1.33.0-beta.1+abc`,
/// `v1.33.4-eks-abc123`, `v1.30.2+k3s1`, `v1.29.3-gke.1200`. A vendor's suffix never
/// decides an order; a pre-release (`alpha`, `beta`, `rc`) comes before its release.
#[derive(Clone, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct KubeVersion {
    minor: Minor,
    patch: u16,
    pre: Option<PreRelease>,
    /// With its separator: `-eks-abc123`, `+k3s1`. None, not empty: comparing texts that have no
    /// bytes takes longer than all else on processors that look for them in masked loads. Behind one
    /// thin pointer, for hardly any version has one, and every node has two versions.
    suffix: Option<Arc<String>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PreRelease {
    stage: Stage,
    number: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Alpha,
    Beta,
    Rc,
}

impl KubeVersion {
    /// The plain release `major.minor.patch`.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { minor: Minor::new(major, minor), patch, pre: None, suffix: None }
    }

    /// What the skew policy compares.
    pub const fn minor(&self) -> Minor {
        self.minor
    }

    /// The patch version.
    pub const fn patch(&self) -> u16 {
        self.patch
    }

    /// Whether this is an alpha, beta or release candidate.
    pub const fn is_pre_release(&self) -> bool {
        self.pre.is_some()
    }

    /// The version without pre-release and vendor suffix, as image names carry it.
    pub fn plain(&self) -> String {
        let Minor { major, minor } = self.minor;
        format!("{major}.{minor}.{}", self.patch)
    }

    /// What follows this version's numbers, without pre-release and vendor suffix, in a text that
    /// begins with them and has no digit there.
    pub(crate) fn strip_from<'t>(&self, mut text: &'t [u8]) -> Option<&'t [u8]> {
        let Minor { major, minor } = self.minor;
        for (at, wanted) in [major, minor, self.patch].into_iter().enumerate() {
            if at > 0 {
                text = text.strip_prefix(b".")?;
            }
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (number, rest) = text.split_at(digits);
            let value = number.iter().fold(0_u32, |value, digit| {
                value.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
            });
            let is_it =
                value == u32::from(wanted) && (digits == 1 || number.first() != Some(&b'0'));
            text = (digits > 0 && is_it).then_some(rest)?;
        }
        Some(text)
    }

    #[inline]
    fn key(&self) -> (Minor, u16, bool, Option<&PreRelease>) {
        (self.minor, self.patch, self.pre.is_none(), self.pre.as_ref())
    }

    /// Whether both are the same Kubernetes release, whatever their vendors' suffixes.
    #[inline]
    pub fn same_release(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Ord for KubeVersion {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key()).then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl PartialOrd for KubeVersion {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if digits && !padded { text.parse().ok() } else { None }
}

fn pre_release(text: &str) -> Option<PreRelease> {
    let (stage, number_text) = text.split_once('.')?;
    let stage = match stage {
        "alpha" => Stage::Alpha,
        "beta" => Stage::Beta,
        "rc" => Stage::Rc,
        _ => return None,
    };
    Some(PreRelease { stage, number: number(number_text)? })
}

fn suffix(text: &str) -> Option<Arc<String>> {
    (!text.is_empty()).then(|| Arc::new(text.to_owned()))
}

fn parse_kube(text: &str) -> Option<KubeVersion> {
    let body = text.strip_prefix('v').unwrap_or(text);
    let end = body.find(['-', '+']).unwrap_or(body.len());
    let (numbers, tail) = body.split_at(end);
    let mut parts = numbers.split('.');
    let minor = Minor { major: number(parts.next()?)?, minor: number(parts.next()?)? };
    let patch = number(parts.next()?)?;
    if parts.next().is_some() || tail.len() == 1 || tail.len() > 64 {
        return None;
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
    if !tail.chars().all(fits) {
        return None;
    }
    let (first, rest) = match tail.strip_prefix('-') {
        Some(tail) => tail.split_at(tail.find(['-', '+']).unwrap_or(tail.len())),
        None => ("", tail),
    };
    match pre_release(first) {
        Some(pre) => Some(KubeVersion { minor, patch, pre: Some(pre), suffix: suffix(rest) }),
        None => Some(KubeVersion { minor, patch, pre: None, suffix: suffix(tail) }),
    }
}

impl FromStr for KubeVersion {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        parse_kube(text).ok_or_else(|| InvalidVersion {
            text: text.chars().take(80).collect(),
            expected: "a Kubernetes version such as `1.34.3`",
        })
    }
}

impl fmt::Display for KubeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Minor { major, minor }, patch) = (self.minor, self.patch);
        let suffix = self.suffix.as_deref().map_or("", String::as_str);
        let Some(PreRelease { stage, number }) = &self.pre else {
            return padded(f, format_args!("{major}.{minor}.{patch}{suffix}"));
        };
        let stage = match stage {
            Stage::Alpha => "alpha",
            Stage::Beta => "beta",
            Stage::Rc => "rc",
        };
        padded(f, format_args!("{major}.{minor}.{patch}-{stage}.{number}{suffix}"))
    }
}

/// Writes text as the formatter wants it padded; without a detour where it wants nothing.
fn padded(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    if f.width().is_none() && f.precision().is_none() {
        return f.write_fmt(text);
    }
    f.pad(&text.to_string())
}

/// A version of an add-on: [semantic versioning](https://semver.org), a leading `v` allowed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct AddonVersion(semver::Version);

impl AddonVersion {
    /// The release `major.minor.patch`.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }

    /// Whether no minor lies between an earlier version and this one: they are of the same minor
    /// or of neighbours, or this one is of the first minor of the next major.
    pub fn is_next_minor_of(&self, earlier: &Self) -> bool {
        let (from, to) = (&earlier.0, &self.0);
        if from.major == to.major {
            to.minor.saturating_sub(from.minor) <= 1
        } else {
            to.major == from.major.saturating_add(1) && to.minor == 0
        }
    }
}

impl FromStr for AddonVersion {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = |_| InvalidVersion {
            text: text.chars().take(80).collect(),
            expected: "a version such as `1.12.4`",
        };
        semver::Version::parse(text.strip_prefix('v').unwrap_or(text)).map(Self).map_err(invalid)
    }
}

impl fmt::Display for AddonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

as_text!(Minor, KubeVersion, AddonVersion);

macro_rules! debug_as_text {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

debug_as_text!(Minor KubeVersion AddonVersion);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_what_servers_report() {
        for (text, plain, minor) in [
            ("v1.34.3", "1.34.3", 34),
            ("1.33.0-beta.1+abc", "1.33.0", 33),
            ("v1.33.4-eks-abc123", "1.33.4", 33),
            ("v1.30.2+k3s1", "1.30.2", 30),
            ("v1.29.3-gke.1200", "1.29.3", 29),
        ] {
            let version: KubeVersion = text.parse().unwrap();
            assert_eq!(version.plain(), plain);
            assert_eq!(version.minor(), Minor::new(1, minor));
            assert_eq!(version.to_string(), text.strip_prefix('v').unwrap_or(text));
        }
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", "1.34", "1.34.x", "latest", "1.34.03", "1.34.3-", "1.34.3 ", "1.99999.0"] {
            assert!(text.parse::<KubeVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn orders_pre_releases_before_releases() {
        let ordered =
            ["1.33.9", "1.34.0-alpha.2", "1.34.0-beta.0", "1.34.0-rc.1", "1.34.0", "1.34.1"];
        let parsed: Vec<KubeVersion> = ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(parsed.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_vendor_suffix_is_the_same_release() {
        let plain: KubeVersion = "1.33.4".parse().unwrap();
        assert!(plain.same_release(&"v1.33.4-eks-abc123".parse().unwrap()));
        assert!(!plain.same_release(&"v1.33.4-rc.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn never_panics_and_round_trips(text in "v?[0-9]{1,3}\\.[0-9]{1,2}\\.[0-9]{1,2}([-+][a-z0-9.+-]{0,9})?") {
            if let Ok(version) = text.parse::<KubeVersion>() {
                prop_assert_eq!(version.to_string().parse::<KubeVersion>().unwrap(), version);
            }
        }
    }
}
