//! Versions of add-ons as the data writes them: a minor, or comparators with minors in them.

use refit_model::{AddonVersion, VersionRange};

/// `1.20` is every version of that minor, with its pre-releases; in a comparator a part that is
/// missing is 0, and pre-releases of a bound belong to what it begins.
pub(crate) fn range(text: &str) -> Result<VersionRange<AddonVersion>, String> {
    if let Some((major, minor)) = minor(text) {
        return parse(&format!(">={major}.{minor}.0-0, <{major}.{}.0-0", minor + 1));
    }
    let parts: Vec<String> = text.split(',').map(|part| comparator(part.trim())).collect();
    parse(&parts.join(", "))
}

fn minor(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn comparator(part: &str) -> String {
    let digits = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
    let (sign, version) = part.split_at(digits);
    match (sign, minor(version)) {
        ("=", None) => part.to_owned(),
        (_, Some(_)) => format!("{sign}{version}.0-0"),
        (_, None) => format!("{sign}{version}-0"),
    }
}

fn parse(text: &str) -> Result<VersionRange<AddonVersion>, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_has_its_patches_and_pre_releases() {
        let holds =
            |text: &str, version: &str| range(text).unwrap().contains(&version.parse().unwrap());
        for version in ["1.20.0-beta.0", "1.20.0", "1.20.99"] {
            assert!(holds("1.20", version) && holds(">=1.20, <1.21", version), "{version}");
        }
        for version in ["1.19.9", "1.21.0-alpha.1", "1.21.0"] {
            assert!(!holds("1.20", version) && !holds(">=1.20, <1.21", version), "{version}");
        }
        assert!(holds(">=2.4.7, <2.5", "2.4.7") && !holds(">=2.4, <2.4.7", "2.4.7"));
        assert!(holds("=1.12.4", "1.12.4") && !holds("=1.12.4", "1.12.3"));
        assert!(holds("<0.10", "0.9.9") && !holds("<0.10", "0.10.0-rc1"));
        assert!(range("~1.2").is_err() && range("").is_err());
    }
}
