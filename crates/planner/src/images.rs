//! Which image carries a version: the newest that matches the pattern, pinned in the plan.

use std::collections::BTreeMap;

use refit_model::{
    ClusterState, Code, GroupName, ImageId, ImagePattern, ImagePin, ImageState, KubeVersion,
};

use crate::checks::Blocker;

/// The newest image of `version`, among those that were seen.
pub(crate) fn newest<'a>(
    state: &'a ClusterState,
    pattern: &ImagePattern,
    version: &KubeVersion,
) -> Option<&'a ImageState> {
    let carries = pattern.of(version);
    state
        .images
        .iter()
        .filter(|image| belongs(image, pattern) && carries(&image.name))
        .max_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)))
}

fn belongs(image: &ImageState, pattern: &ImagePattern) -> bool {
    image.architecture == pattern.architecture
        && (pattern.owner == "self" || pattern.owner == image.owner)
}

/// The pin of every group for `version`.
pub(crate) fn pins(
    state: &ClusterState,
    groups: &[GroupName],
    pattern: &ImagePattern,
    version: &KubeVersion,
) -> Result<BTreeMap<GroupName, ImagePin>, Blocker> {
    let image = newest(state, pattern, version).ok_or_else(|| {
        Blocker::new(
            Code::RF007,
            format!(
                "no image matches `{}` for {version} (owner {}, {})",
                pattern.name, pattern.owner, pattern.architecture
            ),
            "build the image, or correct the pattern",
        )
    })?;
    let pin = ImagePin { id: image.id.clone(), name: image.name.clone() };
    Ok(groups.iter().map(|group| (group.clone(), pin.clone())).collect())
}

/// The version that an image carries, among `versions`.
pub(crate) fn version_of<'a>(
    state: &ClusterState,
    pattern: &ImagePattern,
    image: &ImageId,
    mut versions: impl Iterator<Item = &'a KubeVersion>,
) -> Option<&'a KubeVersion> {
    let image = state.images.iter().find(|seen| seen.id == *image)?;
    versions.find(|version| pattern.matches(version, &image.name))
}

/// The version that an image carries, whether the fleet knows that version or not: a known one
/// that its name fits, or the one that its name says.
pub(crate) fn carried<'a>(
    state: &ClusterState,
    pattern: &ImagePattern,
    image: &ImageId,
    known: impl Iterator<Item = &'a KubeVersion>,
) -> Option<KubeVersion> {
    if let Some(version) = version_of(state, pattern, image, known) {
        return Some(version.clone());
    }
    let name = &state.images.iter().find(|seen| seen.id == *image)?.name;
    name.split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|number| number.trim_matches('.').parse::<KubeVersion>().ok())
        .find(|version| pattern.matches(version, name))
}
