//! Auto Scaling groups as AWS describes them, as refit sees them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, Instance, InstanceRefreshStatus as Refresh, LifecycleState,
};
use refit_model::{
    GroupName, GroupState, ImageId, InstanceState, Lifecycle, LifecycleHook, Period,
};
use refit_provider::{ErrorClass, ProviderError};

use crate::Clients;
use crate::error::{Effect, has_code, sorted};
use crate::targets::Targets;
use crate::templates::{Versions, template_of};

/// How many names one `DescribeAutoScalingGroups` takes.
const NAMES_AT_ONCE: usize = 50;
/// Tags of refit begin like this.
const TAG_PREFIX: &str = "refit.dev/";

/// What a group's instances run: from EC2, because Auto Scaling does not always say it.
pub(crate) type InstanceImages = BTreeMap<String, ImageId>;

/// Lifecycle hooks by their names.
pub(crate) type Hooks = BTreeMap<String, LifecycleHook>;

impl Clients {
    /// The groups of these names. One that does not exist is left out.
    pub(crate) async fn groups(
        &self,
        names: &[&GroupName],
    ) -> Result<Vec<AutoScalingGroup>, ProviderError> {
        let mut groups = Vec::new();
        for names in names.chunks(NAMES_AT_ONCE) {
            let names = names.iter().map(ToString::to_string).collect();
            let mut pages = self
                .autoscaling
                .describe_auto_scaling_groups()
                .set_auto_scaling_group_names(Some(names))
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| {
                    sorted("autoscaling:DescribeAutoScalingGroups", Effect::Reads, &error)
                })?;
                groups.extend(page.auto_scaling_groups.unwrap_or_default());
            }
        }
        Ok(groups)
    }

    /// The group of that name.
    pub(crate) async fn group(&self, name: &GroupName) -> Result<AutoScalingGroup, ProviderError> {
        self.groups(&[name]).await?.pop().ok_or_else(|| {
            let text = format!("there is no Auto Scaling group {name} in this account and region");
            ProviderError::new(ErrorClass::Permanent, text)
        })
    }

    /// The lifecycle hooks of the group.
    pub(crate) async fn hooks(&self, name: &str) -> Result<Hooks, ProviderError> {
        let asked = self.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(name);
        match asked.send().await {
            Ok(answer) => Ok(answer.lifecycle_hooks().iter().filter_map(hook).collect()),
            // The group vanished between two calls.
            Err(error) if has_code(&error, "ValidationError") => Ok(Hooks::new()),
            Err(error) => Err(sorted("autoscaling:DescribeLifecycleHooks", Effect::Reads, &error)),
        }
    }

    /// Whether an instance refresh replaces instances of the group by itself.
    pub(crate) async fn refreshes(&self, name: &str) -> Result<bool, ProviderError> {
        let answer = self
            .autoscaling
            .describe_instance_refreshes()
            .auto_scaling_group_name(name)
            .max_records(1)
            .send()
            .await;
        let refreshes = match answer {
            Ok(answer) => answer.instance_refreshes.unwrap_or_default(),
            // The group vanished between two calls.
            Err(error) if has_code(&error, "ValidationError") => return Ok(false),
            Err(error) => {
                let action = "autoscaling:DescribeInstanceRefreshes";
                return Err(sorted(action, Effect::Reads, &error));
            }
        };
        Ok(refreshes.iter().any(|refresh| {
            matches!(
                refresh.status(),
                Some(
                    Refresh::Pending
                        | Refresh::InProgress
                        | Refresh::Baking
                        | Refresh::Cancelling
                        | Refresh::RollbackInProgress
                )
            )
        }))
    }
}

/// A hook by its name.
fn hook(found: &aws_sdk_autoscaling::types::LifecycleHook) -> Option<(String, LifecycleHook)> {
    const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
    let name = found.lifecycle_hook_name()?.to_owned();
    let seconds = found.heartbeat_timeout().and_then(|seconds| u32::try_from(seconds).ok());
    let hook = LifecycleHook {
        launching: found.lifecycle_transition() == Some(LAUNCHING),
        // What AWS takes where nobody says it.
        timeout: Period::seconds(seconds.unwrap_or(3600)),
    };
    Some((name, hook))
}

/// The target groups that the group itself is attached to, by ARN.
pub(crate) fn target_groups(group: &AutoScalingGroup) -> BTreeSet<String> {
    let sources = group.traffic_sources().iter().filter(|source| source.r#type() == Some("elbv2"));
    let sources = sources.filter_map(|source| source.identifier());
    group.target_group_arns().iter().map(String::as_str).chain(sources).map(str::to_owned).collect()
}

/// What refit refuses to roll, by name.
fn refused(group: &AutoScalingGroup, versions: &Versions, refreshing: bool) -> BTreeSet<String> {
    let overrides = || {
        let template = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
        template.map_or(&[][..], |template| template.overrides())
    };
    let lattice =
        || group.traffic_sources().iter().any(|source| source.r#type() == Some("vpc-lattice"));
    let standby = |instance: &Instance| {
        matches!(
            instance.lifecycle_state(),
            Some(LifecycleState::Standby | LifecycleState::EnteringStandby)
        )
    };
    let features = [
        ("a launch configuration", template_of(group).is_none()),
        (
            "a launch template that does not exist",
            template_of(group).is_some() && versions.is_gone(),
        ),
        ("weighted capacity", overrides().iter().any(|o| o.weighted_capacity().is_some())),
        (
            "launch templates of overrides",
            overrides().iter().any(|o| o.launch_template_specification().is_some()),
        ),
        ("images of overrides", overrides().iter().any(|o| o.image_id().is_some())),
        ("a warm pool", group.warm_pool_configuration().is_some()),
        ("an instance refresh in progress", refreshing),
        ("a classic load balancer", !group.load_balancer_names().is_empty()),
        ("a target group of VPC Lattice", lattice()),
        ("instances in Standby", group.instances().iter().any(standby)),
        ("its own deletion in progress", group.status().is_some()),
    ];
    features.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_owned()).collect()
}

/// All that a look has to know of one group.
pub(crate) struct Seen<'a> {
    pub(crate) group: &'a AutoScalingGroup,
    pub(crate) versions: &'a Versions,
    pub(crate) images: &'a InstanceImages,
    pub(crate) targets: &'a Targets,
    pub(crate) refreshing: bool,
    pub(crate) hooks: &'a Hooks,
}

impl Seen<'_> {
    /// As refit sees it.
    pub(crate) fn state(&self) -> GroupState {
        let Self { group, versions, images: _, targets: _, refreshing, hooks } = self;
        let template = template_of(group);
        let current = versions.resolve(template.and_then(|t| t.version())).unwrap_or_default();
        let target_groups = target_groups(group);
        let instances: Vec<InstanceState> = group
            .instances()
            .iter()
            .filter_map(|instance| self.instance(instance, &target_groups))
            .collect();
        let in_use = instances.iter().map(|instance| instance.template_version).collect();
        GroupState {
            min: size(group.min_size()),
            max: size(group.max_size()),
            desired: size(group.desired_capacity()),
            zones: group.availability_zones().iter().filter_map(|z| z.parse().ok()).collect(),
            template_version: current,
            template_images: versions.images(current, &in_use),
            suspended: group
                .suspended_processes()
                .iter()
                .filter_map(|process| process.process_name().map(str::to_owned))
                .collect(),
            target_groups,
            instances,
            tags: tags(group),
            hooks: (*hooks).clone(),
            refused: refused(group, versions, *refreshing),
        }
    }

    fn instance(
        &self,
        instance: &Instance,
        target_groups: &BTreeSet<String>,
    ) -> Option<InstanceState> {
        let id = instance.instance_id()?;
        let lifecycle = lifecycle(instance.lifecycle_state()?)?;
        let version = instance.launch_template().and_then(|template| template.version());
        let image = self.images.get(id).cloned();
        let image = image.or_else(|| instance.image_id()?.parse().ok())?;
        Some(InstanceState {
            id: id.parse().ok()?,
            zone: instance.availability_zone()?.parse().ok()?,
            lifecycle,
            template_version: version.and_then(|v| v.parse().ok()).unwrap_or_default(),
            image,
            protected: instance.protected_from_scale_in().unwrap_or_default(),
            target_health: self.targets.of(target_groups, id),
        })
    }
}

fn tags(group: &AutoScalingGroup) -> BTreeMap<String, String> {
    let tags = group.tags().iter().filter_map(|tag| {
        let key = tag.key()?;
        key.starts_with(TAG_PREFIX).then(|| (key.to_owned(), tag.value().unwrap_or("").to_owned()))
    });
    tags.collect()
}

/// Where an instance stands; none: it is not there any more.
pub(crate) fn lifecycle(state: &LifecycleState) -> Option<Lifecycle> {
    use LifecycleState as L;
    Some(match state {
        L::InService | L::Standby | L::EnteringStandby => Lifecycle::InService,
        L::Terminating
        | L::TerminatingWait
        | L::TerminatingProceed
        | L::TerminatingRetained
        | L::Detaching
        | L::Quarantined => Lifecycle::Terminating,
        L::Terminated | L::Detached => return None,
        _ => Lifecycle::Pending,
    })
}

fn size(count: Option<i32>) -> u32 {
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::{
        LaunchTemplate, LaunchTemplateOverrides, LaunchTemplateSpecification, MixedInstancesPolicy,
        TagDescription,
    };

    use super::*;

    fn template(version: &str) -> LaunchTemplateSpecification {
        LaunchTemplateSpecification::builder().launch_template_id("lt-1").version(version).build()
    }

    fn group() -> AutoScalingGroup {
        let instance = |id: &str, state: LifecycleState| {
            Instance::builder()
                .instance_id(id)
                .availability_zone("eu-west-1a")
                .lifecycle_state(state)
                .launch_template(template("2"))
                .build()
        };
        AutoScalingGroup::builder()
            .auto_scaling_group_name("workers")
            .min_size(1)
            .max_size(5)
            .desired_capacity(2)
            .availability_zones("eu-west-1a")
            .launch_template(template("2"))
            .instances(instance("i-1", LifecycleState::InService))
            .instances(instance("i-2", LifecycleState::TerminatingWait))
            .instances(instance("i-3", LifecycleState::Terminated))
            .tags(TagDescription::builder().key("refit.dev/roll").value("{}").build())
            .tags(TagDescription::builder().key("Name").value("workers").build())
            .build()
    }

    fn state(group: &AutoScalingGroup) -> GroupState {
        let image = |id: &str| (id.to_owned(), "ami-2".parse().unwrap());
        Seen {
            group,
            versions: &Versions::of(&[(1, "ami-1"), (2, "ami-2"), (3, "ami-2")]),
            images: &[image("i-1"), image("i-2"), image("i-3")].into(),
            targets: &Targets::default(),
            refreshing: false,
            hooks: &Hooks::new(),
        }
        .state()
    }

    #[test]
    fn a_group_is_what_the_planner_has_to_know() {
        let state = state(&group());
        assert_eq!((state.min, state.max, state.desired), (1, 5, 2));
        assert_eq!(state.template_version, 2);
        let lifecycles: Vec<_> =
            state.instances.iter().map(|i| (i.id.to_string(), i.lifecycle)).collect();
        assert_eq!(
            lifecycles,
            [("i-1".to_owned(), Lifecycle::InService), ("i-2".to_owned(), Lifecycle::Terminating)]
        );
        assert_eq!(state.tags.keys().collect::<Vec<_>>(), ["refit.dev/roll"]);
        assert!(state.refused.is_empty(), "{:?}", state.refused);
    }

    #[test]
    fn a_hook_holds_for_an_hour_unless_it_says_otherwise() {
        let of = |transition: &str, seconds: Option<i32>| {
            let found = aws_sdk_autoscaling::types::LifecycleHook::builder()
                .lifecycle_hook_name("wait")
                .lifecycle_transition(transition)
                .set_heartbeat_timeout(seconds)
                .build();
            hook(&found).unwrap().1
        };
        let launching = of("autoscaling:EC2_INSTANCE_LAUNCHING", None);
        assert!(launching.launching && launching.timeout == Period::seconds(3600));
        let ending = of("autoscaling:EC2_INSTANCE_TERMINATING", Some(300));
        assert!(!ending.launching && ending.timeout == Period::seconds(300));
    }

    #[test]
    fn what_cannot_be_rolled_is_named() {
        let overridden = LaunchTemplateOverrides::builder().weighted_capacity("2").build();
        let mixed = MixedInstancesPolicy::builder()
            .launch_template(
                LaunchTemplate::builder()
                    .launch_template_specification(template("3"))
                    .overrides(overridden)
                    .build(),
            )
            .build();
        let mut odd = group();
        odd.launch_template = None;
        odd.mixed_instances_policy = Some(mixed);
        odd.load_balancer_names = Some(vec!["classic".to_owned()]);
        let seen = state(&odd);
        assert_eq!(seen.template_version, 3, "the version stands inside of the policy");
        let names: Vec<&str> = seen.refused.iter().map(String::as_str).collect();
        assert_eq!(names, ["a classic load balancer", "weighted capacity"]);
        odd.mixed_instances_policy = None;
        assert!(state(&odd).refused.contains("a launch configuration"));
    }
}
