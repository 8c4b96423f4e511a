//! Which image carries a version: the newest that matches the pattern, pinned in the plan.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use refit_model::{
    ClusterState, Code, Fleet, GroupName, ImageId, ImagePattern, ImagePin, ImagePins, ImageState,
    KubeVersion,
};

use crate::checks::Blocker;

/// The images that were seen of a cluster. Its groups ask for the same few again and again.
pub(crate) struct Images<'a> {
    seen: &'a [ImageState],
    /// The versions that the fleet knows.
    available: &'a [KubeVersion],
    /// Those that the cluster runs.
    runs: BTreeSet<&'a KubeVersion>,
    newest: RefCell<Vec<Newest<'a>>>,
    carried: RefCell<Vec<Carried<'a>>>,
}

/// The newest image of a pattern and a version.
type Newest<'a> = (&'a ImagePattern, KubeVersion, Option<Arc<ImagePin>>);

/// The version that an image of a pattern carries.
type Carried<'a> = (&'a ImagePattern, ImageId, Option<KubeVersion>);

impl<'a> Images<'a> {
    pub(crate) fn of(
        fleet: &'a Fleet,
        state: &'a ClusterState,
        runs: BTreeSet<&'a KubeVersion>,
    ) -> Self {
        Self {
            seen: &state.images,
            available: &fleet.available,
            runs,
            newest: RefCell::default(),
            carried: RefCell::default(),
        }
    }

    /// The newest image of `version`, among those that were seen.
    pub(crate) fn newest(
        &self,
        pattern: &'a ImagePattern,
        version: &KubeVersion,
    ) -> Option<Arc<ImagePin>> {
        let mut asked = self.newest.borrow_mut();
        if let Some((.., newest)) = asked.iter().find(|(p, v, _)| v == version && *p == pattern) {
            return newest.clone();
        }
        let newest = self
            .seen
            .iter()
            .filter(|image| belongs(image, pattern) && pattern.matches(version, &image.name))
            .max_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)))
            .map(|image| Arc::new(ImagePin { id: image.id.clone(), name: image.name.clone() }));
        asked.push((pattern, version.clone(), newest.clone()));
        newest
    }

    /// The pin of every group for `version`.
    pub(crate) fn pins(
        &self,
        groups: &[GroupName],
        pattern: &'a ImagePattern,
        version: &KubeVersion,
    ) -> Result<ImagePins, Blocker> {
        let pin = self.newest(pattern, version).ok_or_else(|| {
            Blocker::new(
                Code::RF007,
                format!(
                    "no image matches `{}` for {version} (owner {}, {})",
                    pattern.name, pattern.owner, pattern.architecture
                ),
                "build the image, or correct the pattern",
            )
        })?;
        Ok(groups.iter().map(|group| (group.clone(), pin.clone())).collect())
    }

    /// Whether an image is one of a version.
    pub(crate) fn is_of(
        &self,
        pattern: &ImagePattern,
        image: &ImageId,
        version: &KubeVersion,
    ) -> bool {
        self.name_of(image).is_some_and(|name| pattern.matches(version, name))
    }

    /// The version that an image carries, whether that version is known or not: a known one that its
    /// name fits, or the one that its name says.
    pub(crate) fn carried(
        &self,
        pattern: &'a ImagePattern,
        image: &ImageId,
    ) -> Option<KubeVersion> {
        let mut asked = self.carried.borrow_mut();
        if let Some((.., version)) = asked.iter().find(|(p, i, _)| i == image && *p == pattern) {
            return version.clone();
        }
        let version = self.name_of(image).and_then(|name| {
            let known = self.available.iter().chain(self.runs.iter().copied());
            let first = known.filter(|version| pattern.matches(version, name)).min();
            first.map_or_else(|| says(pattern, name), |version| Some(version.clone()))
        });
        asked.push((pattern, image.clone(), version.clone()));
        version
    }

    fn name_of(&self, image: &ImageId) -> Option<&'a str> {
        self.seen.iter().find(|seen| seen.id == *image).map(|seen| seen.name.as_str())
    }
}

fn belongs(image: &ImageState, pattern: &ImagePattern) -> bool {
    image.architecture == pattern.architecture
        && (pattern.owner == "self" || pattern.owner == image.owner)
}

/// The version that an image's name says.
fn says(pattern: &ImagePattern, name: &str) -> Option<KubeVersion> {
    name.split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|number| number.trim_matches('.').parse::<KubeVersion>().ok())
        .find(|version| pattern.matches(version, name))
}
