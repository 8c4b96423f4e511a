//! Which groups a cluster's machines belong to, when nobody has declared it yet.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{GroupName, InstanceId};
use refit_provider::ProviderError;

use crate::Aws;
use crate::error::{Effect, sorted};

/// How many ids one `DescribeImages` is given.
const IMAGES_AT_ONCE: usize = 100;

/// An Auto Scaling group, and what its instances run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGroup {
    /// Its name.
    pub name: GroupName,
    /// Its instances.
    pub instances: BTreeSet<InstanceId>,
    /// The image of one of them, if it is still there.
    pub image: Option<FoundImage>,
}

/// A machine image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    /// Its name.
    pub name: String,
    /// Whose it is: an account, or `self`.
    pub owner: String,
    /// Its architecture, as EC2 calls it.
    pub architecture: String,
}

impl Aws {
    /// The groups that these instances belong to, by name.
    ///
    /// # Errors
    /// When something cannot be described.
    pub async fn groups_of(
        &self,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<Vec<FoundGroup>, ProviderError> {
        let account = self.clients.account_id().await?;
        let mut groups = Vec::new();
        let mut pages =
            self.clients.autoscaling.describe_auto_scaling_groups().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                sorted("autoscaling:DescribeAutoScalingGroups", Effect::Reads, &error)
            })?;
            groups.extend(page.auto_scaling_groups.unwrap_or_default());
        }
        groups.retain(|group| {
            let mut ids = group.instances().iter().filter_map(|instance| instance.instance_id());
            ids.any(|id| id.parse().is_ok_and(|id: InstanceId| instances.contains(&id)))
        });
        let runs = self.clients.instance_images(&groups).await?;
        let wanted: BTreeSet<String> = runs.values().map(ToString::to_string).collect();
        let images = self.images_by_id(&wanted, &account).await?;
        let mut found = Vec::new();
        for group in &groups {
            let ids = || group.instances().iter().filter_map(|instance| instance.instance_id());
            let Some(name) = group.auto_scaling_group_name().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let image = ids().find_map(|id| images.get(&runs.get(id)?.to_string())).cloned();
            let instances = ids().filter_map(|id| id.parse().ok()).collect();
            found.push(FoundGroup { name, instances, image });
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn images_by_id(
        &self,
        ids: &BTreeSet<String>,
        account: &str,
    ) -> Result<BTreeMap<String, FoundImage>, ProviderError> {
        let mut images = BTreeMap::new();
        let ids: Vec<&String> = ids.iter().collect();
        for ids in ids.chunks(IMAGES_AT_ONCE) {
            let values = ids.iter().map(ToString::to_string).collect();
            let filter =
                aws_sdk_ec2::types::Filter::builder().name("image-id").set_values(Some(values));
            let asked = self.clients.ec2.describe_images().filters(filter.build()).send().await;
            let answer = asked.map_err(|e| sorted("ec2:DescribeImages", Effect::Reads, &e))?;
            for image in answer.images() {
                let (Some(id), Some(name)) = (image.image_id(), image.name()) else { continue };
                let owner = image.owner_id().filter(|owner| *owner != account).unwrap_or("self");
                let architecture = image.architecture().map_or("x86_64", |found| found.as_str());
                images.insert(
                    id.to_owned(),
                    FoundImage {
                        name: name.to_owned(),
                        owner: owner.to_owned(),
                        architecture: architecture.to_owned(),
                    },
                );
            }
        }
        Ok(images)
    }
}
