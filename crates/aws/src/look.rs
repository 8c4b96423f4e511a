//! Looking at the machines of a cluster: get, list and describe only.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_ec2::types::{Filter, InstanceStateName, Reservation};
use futures::future::try_join_all;
use refit_model::{Cluster, GroupName, GroupState, InstanceId};
use refit_provider::{Answer, Look, Machines, ObserveMachines, ProviderError, Scope};

use crate::error::{Effect, sorted};
use crate::groups::{Hooks, InstanceImages, Seen, target_groups};
use crate::templates::{Versions, template_of};
use crate::{Aws, Clients};

/// How many values one filter of EC2 takes.
const FILTER_VALUES: usize = 200;

impl ObserveMachines for Aws {
    fn look<'a>(&'a self, look: Look<'a>, nodes: &'a BTreeSet<InstanceId>) -> Answer<'a, Machines> {
        Box::pin(async move {
            let clients = &self.clients;
            let whole = *look.scope == Scope::Everything;
            let account = clients.account_id().await?;
            let groups = clients.group_states(&groups_of(look), whole).await?;
            let mut machines = Machines {
                account: Some(account),
                region: Some(self.region.clone()),
                groups,
                ..Machines::default()
            };
            if whole {
                machines.images = clients.images(look.cluster).await?;
                let launched: BTreeSet<&InstanceId> = machines
                    .groups
                    .values()
                    .flat_map(|group| &group.instances)
                    .map(|instance| &instance.id)
                    .collect();
                let others = nodes.iter().filter(|id| !launched.contains(id));
                machines.ended = clients.ended(&others.collect::<Vec<_>>()).await?;
            }
            Ok(machines)
        })
    }
}

/// The groups that the look's scope asks for.
fn groups_of(look: Look<'_>) -> Vec<&GroupName> {
    let Cluster { control_plane, pools, .. } = look.cluster;
    match look.scope {
        Scope::Everything => {
            control_plane.groups.iter().chain(pools.iter().flat_map(|pool| &pool.groups)).collect()
        }
        Scope::ControlPlane => control_plane.groups.iter().collect(),
        Scope::Pool(name) => {
            look.cluster.pool(name).into_iter().flat_map(|pool| &pool.groups).collect()
        }
        Scope::Identity | Scope::Addon(_) | Scope::Objects { .. } => Vec::new(),
    }
}

impl Clients {
    pub(crate) async fn account_id(&self) -> Result<String, ProviderError> {
        let asked = self.account.get_or_try_init(|| async {
            let action = "sts:GetCallerIdentity";
            let answer = self.sts.get_caller_identity().send().await;
            let answer = answer.map_err(|error| sorted(action, Effect::Reads, &error))?;
            Ok(answer.account.unwrap_or_default())
        });
        asked.await.cloned()
    }

    async fn group_states(
        &self,
        names: &[&GroupName],
        whole: bool,
    ) -> Result<BTreeMap<GroupName, GroupState>, ProviderError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let groups = self.groups(names).await?;
        let images = self.instance_images(&groups).await?;
        let attached = groups.iter().flat_map(target_groups).collect();
        let targets = self.targets(&attached).await?;
        let states = groups.iter().map(|group| async {
            let versions = match template_of(group) {
                Some(template) => self.template_versions(template).await?,
                None => Versions::default(),
            };
            let name = group.auto_scaling_group_name().unwrap_or_default();
            let refreshing = whole && self.refreshes(name).await?;
            let hooks = if whole { self.hooks(name).await? } else { Hooks::new() };
            let (images, targets) = (&images, &targets);
            let seen =
                Seen { group, versions: &versions, images, targets, refreshing, hooks: &hooks };
            Ok(name.parse().ok().map(|name: GroupName| (name, seen.state())))
        });
        Ok(try_join_all(states).await?.into_iter().flatten().collect())
    }

    /// The images that the groups' instances run.
    pub(crate) async fn instance_images(
        &self,
        groups: &[AutoScalingGroup],
    ) -> Result<InstanceImages, ProviderError> {
        let ids: Vec<String> = groups
            .iter()
            .flat_map(AutoScalingGroup::instances)
            .filter_map(|instance| instance.instance_id().map(str::to_owned))
            .collect();
        let mut images = InstanceImages::new();
        self.instances(&ids, |instance| {
            let image = instance.image_id().and_then(|id| id.parse().ok());
            if let (Some(id), Some(image)) = (instance.instance_id(), image) {
                images.insert(id.to_owned(), image);
            }
        })
        .await?;
        Ok(images)
    }

    /// Of these instances, those that EC2 knows to have ended. One that it does not know at all
    /// is of another account or region.
    async fn ended(&self, ids: &[&InstanceId]) -> Result<BTreeSet<InstanceId>, ProviderError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut ended = BTreeSet::new();
        self.instances(&ids, |instance| {
            let state = instance.state().and_then(|state| state.name());
            let gone = matches!(
                state,
                Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown)
            );
            if let Some(id) = instance.instance_id().and_then(|id| id.parse().ok()).filter(|_| gone)
            {
                ended.insert(id);
            }
        })
        .await?;
        Ok(ended)
    }

    /// Describes instances by filter, because one unknown id in a list fails the whole call.
    async fn instances(
        &self,
        ids: &[String],
        mut each: impl FnMut(&aws_sdk_ec2::types::Instance),
    ) -> Result<(), ProviderError> {
        for ids in ids.chunks(FILTER_VALUES) {
            let filter = Filter::builder().name("instance-id").set_values(Some(ids.to_vec()));
            let request = self.ec2.describe_instances().filters(filter.build());
            let mut pages = request.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page =
                    page.map_err(|error| sorted("ec2:DescribeInstances", Effect::Reads, &error))?;
                let found = page.reservations().iter().flat_map(Reservation::instances);
                found.for_each(&mut each);
            }
        }
        Ok(())
    }
}
