//! Launch templates: which version a group launches, and which image each version has.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{AutoScalingGroup, LaunchTemplateSpecification};
use aws_sdk_ec2::types::LaunchTemplateVersion;
use refit_model::ImageId;
use refit_provider::{ErrorClass, ProviderError};

use crate::Clients;
use crate::error::{Effect, has_code, sorted};

/// Codes of answers that say that there is no such launch template.
const GONE: [&str; 3] = [
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.NotFoundException",
    "InvalidLaunchTemplateName.NotFoundException",
];

/// What refit writes as the description of a version that it makes, before the number of the
/// version that it is made from.
pub(crate) const DESCRIPTION: &str = "refit, from version ";

/// The launch template of a group, wherever the group keeps it.
pub(crate) fn template_of(group: &AutoScalingGroup) -> Option<&LaunchTemplateSpecification> {
    let mixed =
        || group.mixed_instances_policy()?.launch_template()?.launch_template_specification();
    group.launch_template().or_else(mixed)
}

/// Versions of a launch template.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    default: u32,
    latest: u32,
    images: BTreeMap<u32, ImageId>,
    made_from: BTreeMap<u32, u32>,
}

impl Versions {
    fn add(&mut self, version: &LaunchTemplateVersion) {
        let Some(number) = version.version_number().and_then(|n| u32::try_from(n).ok()) else {
            return;
        };
        self.latest = self.latest.max(number);
        if version.default_version() == Some(true) {
            self.default = number;
        }
        let image = version.launch_template_data().and_then(|data| data.image_id());
        if let Some(image) = image.and_then(|id| id.parse().ok()) {
            self.images.insert(number, image);
        }
        let described =
            version.version_description().and_then(|text| text.strip_prefix(DESCRIPTION));
        if let Some(source) = described.and_then(|text| text.parse().ok()) {
            self.made_from.insert(number, source);
        }
    }

    /// Whether there is no such template: it would have at least one version.
    pub(crate) fn is_gone(&self) -> bool {
        self.latest == 0
    }

    /// The number that a group's version stands for: `$Latest`, `$Default`, nothing, or itself.
    pub(crate) fn resolve(&self, version: Option<&str>) -> Option<u32> {
        match version {
            None | Some("$Default") => Some(self.default),
            Some("$Latest") => Some(self.latest),
            Some(number) => number.parse().ok(),
        }
    }

    /// The images of the versions that may be launched in place of `current`: itself, those that
    /// refit made from it, and those that are in use. A version that somebody else made may
    /// differ in more than its image, so it is none of them.
    pub(crate) fn images(&self, current: u32, in_use: &BTreeSet<u32>) -> BTreeMap<u32, ImageId> {
        let counts = |number: &u32| {
            *number == current
                || in_use.contains(number)
                || self.made_from.get(number) == Some(&current)
        };
        let images = self.images.iter().filter(|(number, _)| counts(number));
        images.map(|(number, image)| (*number, image.clone())).collect()
    }
}

impl Clients {
    /// Every version of a launch template, by pages; none, if there is no such template.
    pub(crate) async fn template_versions(
        &self,
        template: &LaunchTemplateSpecification,
    ) -> Result<Versions, ProviderError> {
        const ACTION: &str = "ec2:DescribeLaunchTemplateVersions";
        let mut request = self.ec2.describe_launch_template_versions().max_results(200);
        request = match (template.launch_template_id(), template.launch_template_name()) {
            (Some(id), _) => request.launch_template_id(id),
            (None, Some(name)) => request.launch_template_name(name),
            (None, None) => {
                let text = format!("{ACTION}: the group's launch template has no id");
                return Err(ProviderError::new(ErrorClass::Permanent, text));
            }
        };
        let mut pages = request.into_paginator().send();
        let mut versions = Versions::default();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if GONE.iter().any(|code| has_code(&error, code)) => {
                    return Ok(Versions::default());
                }
                Err(error) => return Err(sorted(ACTION, Effect::Reads, &error)),
            };
            page.launch_template_versions().iter().for_each(|version| versions.add(version));
        }
        Ok(versions)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::ResponseLaunchTemplateData;

    use super::*;

    fn version(number: i64, image: &str, default: bool, about: &str) -> LaunchTemplateVersion {
        LaunchTemplateVersion::builder()
            .version_number(number)
            .default_version(default)
            .version_description(about)
            .launch_template_data(ResponseLaunchTemplateData::builder().image_id(image).build())
            .build()
    }

    impl Versions {
        /// With these images, each made by somebody.
        pub(crate) fn of(images: &[(i64, &str)]) -> Self {
            let mut versions = Self::default();
            for (number, image) in images {
                versions.add(&version(*number, image, *number == 1, ""));
            }
            versions
        }
    }

    fn versions() -> Versions {
        let mut versions = Versions::default();
        versions.add(&version(1, "ami-1", true, ""));
        versions.add(&version(2, "ami-2", false, "refit, from version 1"));
        versions.add(&version(3, "ami-2", false, "somebody's, with other user data"));
        versions
    }

    #[test]
    fn names_of_versions_are_numbers() {
        let versions = versions();
        assert_eq!(versions.resolve(None), Some(1));
        assert_eq!(versions.resolve(Some("$Default")), Some(1));
        assert_eq!(versions.resolve(Some("$Latest")), Some(3));
        assert_eq!(versions.resolve(Some("2")), Some(2));
        assert_eq!(versions.resolve(Some("two")), None);
    }

    #[test]
    fn what_somebody_else_made_is_not_launched_for_its_image() {
        let versions = versions();
        let numbers = |current, in_use: &[u32]| {
            let in_use = in_use.iter().copied().collect();
            versions.images(current, &in_use).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(numbers(1, &[]), [1, 2]);
        assert_eq!(numbers(2, &[1]), [1, 2]);
        assert_eq!(numbers(3, &[]), [3]);
    }
}
