//! Machine images by pattern, owner and architecture.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Filter;
use refit_model::{Cluster, ImageId, ImagePattern, ImageState};
use refit_provider::ProviderError;

use crate::Clients;
use crate::error::{Effect, sorted};

impl Clients {
    /// The images that the cluster's patterns match in any version, each once.
    pub(crate) async fn images(&self, cluster: &Cluster) -> Result<Vec<ImageState>, ProviderError> {
        let patterns: BTreeSet<&ImagePattern> = std::iter::once(&cluster.control_plane.image)
            .chain(cluster.pools.iter().map(|pool| &pool.image))
            .collect();
        let mut images: BTreeMap<ImageId, ImageState> = BTreeMap::new();
        for pattern in patterns {
            self.images_of(pattern, &mut images).await?;
        }
        Ok(images.into_values().collect())
    }

    async fn images_of(
        &self,
        pattern: &ImagePattern,
        images: &mut BTreeMap<ImageId, ImageState>,
    ) -> Result<(), ProviderError> {
        let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let mut pages = self
            .ec2
            .describe_images()
            .owners(&pattern.owner)
            .filters(filter("name", &wildcard(&pattern.name)))
            .filters(filter("architecture", &pattern.architecture))
            .filters(filter("state", "available"))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| sorted("ec2:DescribeImages", Effect::Reads, &e))?;
            for image in page.images() {
                let (Some(id), Some(name)) = (image.image_id(), image.name()) else { continue };
                let created = image.creation_date().and_then(|text| text.parse().ok());
                let (Ok(id), Some(created)) = (id.parse::<ImageId>(), created) else { continue };
                images.entry(id.clone()).or_insert_with(|| ImageState {
                    id,
                    name: name.to_owned(),
                    owner: pattern.owner.clone(),
                    architecture: pattern.architecture.clone(),
                    created,
                });
            }
        }
        Ok(())
    }
}

/// The pattern in the words of EC2's filters, where `?` and `\` mean something as well.
fn wildcard(pattern: &str) -> String {
    pattern.replace('\\', r"\\").replace('?', r"\?").replace("{version}", "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_and_nothing_else_is_wild() {
        assert_eq!(wildcard("acme-k8s-{version}-*"), "acme-k8s-*-*");
        assert_eq!(wildcard(r"what?\{version}"), r"what\?\\*");
    }
}
