//! The single calls that change a group, its template, its instances and its target groups.
//!
//! Auto Scaling answers `ValidationError` to much that went wrong in different ways. What is
//! meant is found out by looking at the group again, never by reading the message.

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, LaunchTemplateSpecification, MixedInstancesPolicy, Tag,
};
use aws_sdk_ec2::types::RequestLaunchTemplateData;
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use refit_model::{Cluster, GroupName, GroupOp, ImageId, InstanceId, Lifecycle, RollTag, Token};
use refit_provider::{ActOnMachines, Answer, ErrorClass, ProviderError};

use crate::error::{Effect, has_code, sorted};
use crate::groups::{lifecycle, target_groups};
use crate::templates::{DESCRIPTION, template_of};
use crate::{Aws, Clients};

/// The code that Auto Scaling has for everything that it does not accept.
const INVALID: &str = "ValidationError";
/// The type of a tag's resource.
const RESOURCE: &str = "auto-scaling-group";

type Done = Result<(), ProviderError>;

impl ActOnMachines for Aws {
    fn submit<'a>(
        &'a self,
        _cluster: &'a Cluster,
        group: &'a GroupName,
        op: &'a GroupOp,
        token: &'a Token,
    ) -> Answer<'a, ()> {
        let clients = &self.clients;
        Box::pin(async move {
            match op {
                GroupOp::CreateTemplateVersion { image } => {
                    clients.create_template_version(group, image, token).await
                }
                GroupOp::SetTemplateVersion { version } => {
                    clients.set_template_version(group, *version).await
                }
                GroupOp::RaiseDesired { from, to } => {
                    clients.raise_desired(group, *from, *to).await
                }
                GroupOp::Protect { instance } => clients.protect(group, instance, true).await,
                GroupOp::Unprotect { instance } => clients.protect(group, instance, false).await,
                GroupOp::Suspend { process } => clients.suspend(group, process).await,
                GroupOp::Resume { process } => clients.resume(group, process).await,
                GroupOp::Tag { tag } => clients.tag(group, tag).await,
                GroupOp::Untag => clients.untag(group).await,
                GroupOp::Deregister { instance } => clients.deregister(group, instance).await,
                GroupOp::Register { instance } => clients.register(group, instance).await,
                GroupOp::Terminate { instance, decrement } => {
                    clients.terminate(group, instance, *decrement).await
                }
            }
        })
    }
}

fn conflict(text: String) -> ProviderError {
    ProviderError::new(ErrorClass::Conflict, text)
}

fn permanent(text: String) -> ProviderError {
    ProviderError::new(ErrorClass::Permanent, text)
}

/// Where the instance stands in the group; none: it is not there.
fn standing(group: &AutoScalingGroup, id: &InstanceId) -> Option<Lifecycle> {
    let found = group.instances().iter().find(|found| found.instance_id() == Some(id.as_str()))?;
    lifecycle(found.lifecycle_state()?)
}

/// A template as a request may name it: by its id alone, at this version.
fn at_version(template: &LaunchTemplateSpecification, version: u32) -> LaunchTemplateSpecification {
    let mut asked = template.clone();
    asked.version = Some(version.to_string());
    by_id(&mut asked);
    asked
}

/// AWS answers with id and name, and refuses a request that has both.
fn by_id(template: &mut LaunchTemplateSpecification) {
    if template.launch_template_id.is_some() {
        template.launch_template_name = None;
    }
}

/// The policy with another version of its template; overrides stay as they are.
fn policy_at(policy: &MixedInstancesPolicy, version: u32) -> MixedInstancesPolicy {
    let mut policy = policy.clone();
    if let Some(template) = &mut policy.launch_template {
        let own = template.launch_template_specification.as_ref();
        template.launch_template_specification = own.map(|own| at_version(own, version));
        for other in template.overrides.iter_mut().flatten() {
            other.launch_template_specification.iter_mut().for_each(by_id);
        }
    }
    policy
}

impl Clients {
    async fn create_template_version(
        &self,
        name: &GroupName,
        image: &ImageId,
        token: &Token,
    ) -> Done {
        const ACTION: &str = "ec2:CreateLaunchTemplateVersion";
        let group = self.group(name).await?;
        let Some(template) = template_of(&group) else {
            return Err(permanent(format!("{ACTION}: {name} has no launch template")));
        };
        let versions = self.template_versions(template).await?;
        let Some(source) = versions.resolve(template.version()) else {
            return Err(permanent(format!("{ACTION}: {name} has no version of its template")));
        };
        self.ec2
            .create_launch_template_version()
            .client_token(&token.0)
            .set_launch_template_id(template.launch_template_id().map(str::to_owned))
            .source_version(source.to_string())
            .version_description(format!("{DESCRIPTION}{source}"))
            .launch_template_data(
                RequestLaunchTemplateData::builder().image_id(image.as_str()).build(),
            )
            .send()
            .await
            .map_err(|error| sorted(ACTION, Effect::Writes, &error))?;
        Ok(())
    }

    async fn set_template_version(&self, name: &GroupName, version: u32) -> Done {
        let group = self.group(name).await?;
        let mut request =
            self.autoscaling.update_auto_scaling_group().auto_scaling_group_name(name.as_str());
        request = match (group.launch_template(), group.mixed_instances_policy()) {
            (Some(template), _) => request.launch_template(at_version(template, version)),
            (None, Some(policy)) => request.mixed_instances_policy(policy_at(policy, version)),
            (None, None) => return Err(permanent(format!("{name} has no launch template"))),
        };
        let sent = request.send().await;
        sent.map_err(|e| sorted("autoscaling:UpdateAutoScalingGroup", Effect::Writes, &e))?;
        Ok(())
    }

    /// The API sets a number and cannot compare: what comes between the look and the call is
    /// overwritten. That is why the tag that announces the raise is written first.
    async fn raise_desired(&self, name: &GroupName, from: u32, to: u32) -> Done {
        let group = self.group(name).await?;
        let desired = group.desired_capacity().unwrap_or_default();
        if desired != i32::try_from(from).unwrap_or(i32::MAX) || to <= from {
            return Err(conflict(format!("desired of {name} is {desired}, not {from}")));
        }
        self.autoscaling
            .set_desired_capacity()
            .auto_scaling_group_name(name.as_str())
            .desired_capacity(i32::try_from(to).unwrap_or(i32::MAX))
            .honor_cooldown(false)
            .send()
            .await
            .map_err(|e| sorted("autoscaling:SetDesiredCapacity", Effect::Writes, &e))?;
        Ok(())
    }

    async fn protect(&self, name: &GroupName, id: &InstanceId, protected: bool) -> Done {
        let sent = self
            .autoscaling
            .set_instance_protection()
            .auto_scaling_group_name(name.as_str())
            .instance_ids(id.as_str())
            .protected_from_scale_in(protected)
            .send()
            .await;
        let Err(error) = sent else { return Ok(()) };
        let sorted = sorted("autoscaling:SetInstanceProtection", Effect::Writes, &error);
        if !has_code(&error, INVALID) {
            return Err(sorted);
        }
        match standing(&self.group(name).await?, id) {
            None | Some(Lifecycle::Terminating) if !protected => Ok(()),
            None | Some(Lifecycle::Terminating | Lifecycle::Pending) => {
                Err(conflict(sorted.message))
            }
            Some(Lifecycle::InService) => Err(sorted),
        }
    }

    async fn suspend(&self, name: &GroupName, process: &str) -> Done {
        self.autoscaling
            .suspend_processes()
            .auto_scaling_group_name(name.as_str())
            .scaling_processes(process)
            .send()
            .await
            .map_err(|e| sorted("autoscaling:SuspendProcesses", Effect::Writes, &e))?;
        Ok(())
    }

    async fn resume(&self, name: &GroupName, process: &str) -> Done {
        self.autoscaling
            .resume_processes()
            .auto_scaling_group_name(name.as_str())
            .scaling_processes(process)
            .send()
            .await
            .map_err(|e| sorted("autoscaling:ResumeProcesses", Effect::Writes, &e))?;
        Ok(())
    }

    async fn tag(&self, name: &GroupName, tag: &RollTag) -> Done {
        let value = serde_json::to_string(tag).map_err(|error| permanent(error.to_string()))?;
        let tag = Tag::builder()
            .resource_id(name.as_str())
            .resource_type(RESOURCE)
            .key(RollTag::KEY)
            .value(value)
            .propagate_at_launch(false)
            .build();
        self.autoscaling
            .create_or_update_tags()
            .tags(tag)
            .send()
            .await
            .map_err(|e| sorted("autoscaling:CreateOrUpdateTags", Effect::Writes, &e))?;
        Ok(())
    }

    async fn untag(&self, name: &GroupName) -> Done {
        let tag = Tag::builder()
            .resource_id(name.as_str())
            .resource_type(RESOURCE)
            .key(RollTag::KEY)
            .build();
        self.autoscaling
            .delete_tags()
            .tags(tag)
            .send()
            .await
            .map_err(|e| sorted("autoscaling:DeleteTags", Effect::Writes, &e))?;
        Ok(())
    }

    async fn deregister(&self, name: &GroupName, id: &InstanceId) -> Done {
        for target_group in target_groups(&self.group(name).await?) {
            let sent = self
                .load_balancers
                .deregister_targets()
                .target_group_arn(target_group)
                .targets(TargetDescription::builder().id(id.as_str()).build())
                .send()
                .await;
            match sent {
                Ok(_) => {}
                // Not registered, or not an instance any more: out is what was wanted.
                Err(error) if has_code(&error, "InvalidTarget") => {}
                Err(error) => {
                    let action = "elasticloadbalancing:DeregisterTargets";
                    return Err(sorted(action, Effect::Writes, &error));
                }
            }
        }
        Ok(())
    }

    async fn register(&self, name: &GroupName, id: &InstanceId) -> Done {
        const ACTION: &str = "elasticloadbalancing:RegisterTargets";
        let group = self.group(name).await?;
        if standing(&group, id) != Some(Lifecycle::InService) {
            return Err(conflict(format!("{ACTION}: {id} is not in service in {name}")));
        }
        for target_group in target_groups(&group) {
            let sent = self
                .load_balancers
                .register_targets()
                .target_group_arn(target_group)
                .targets(TargetDescription::builder().id(id.as_str()).build())
                .send()
                .await;
            if let Err(error) = sent {
                let gone = has_code(&error, "InvalidTarget");
                let error = sorted(ACTION, Effect::Writes, &error);
                return Err(if gone { conflict(error.message) } else { error });
            }
        }
        Ok(())
    }

    async fn terminate(&self, name: &GroupName, id: &InstanceId, decrement: bool) -> Done {
        const ACTION: &str = "autoscaling:TerminateInstanceInAutoScalingGroup";
        // An instance on its way out would be counted off a second time.
        let gone = |found: Option<Lifecycle>| {
            matches!(found, None | Some(Lifecycle::Terminating)).then(|| {
                if decrement {
                    Err(conflict(format!("{ACTION}: {id} is not in {name} any more")))
                } else {
                    Ok(())
                }
            })
        };
        if let Some(answer) = gone(standing(&self.group(name).await?, id)) {
            return answer;
        }
        let sent = self
            .autoscaling
            .terminate_instance_in_auto_scaling_group()
            .instance_id(id.as_str())
            .should_decrement_desired_capacity(decrement)
            .send()
            .await;
        let Err(error) = sent else { return Ok(()) };
        let sorted = sorted(ACTION, Effect::Writes, &error);
        if !has_code(&error, INVALID) {
            return Err(sorted);
        }
        gone(standing(&self.group(name).await?, id)).unwrap_or(Err(sorted))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::{LaunchTemplate, LaunchTemplateOverrides};

    use super::*;

    #[test]
    fn a_request_names_a_template_by_its_id_alone_and_keeps_overrides() {
        let named = |id: &str, version: &str| {
            LaunchTemplateSpecification::builder()
                .launch_template_id(id)
                .launch_template_name("name")
                .version(version)
                .build()
        };
        let overridden = LaunchTemplateOverrides::builder()
            .instance_type("m7g.large")
            .launch_template_specification(named("lt-2", "7"))
            .build();
        let policy = MixedInstancesPolicy::builder()
            .launch_template(
                LaunchTemplate::builder()
                    .launch_template_specification(named("lt-1", "$Latest"))
                    .overrides(overridden)
                    .build(),
            )
            .build();
        let changed = policy_at(&policy, 4);
        let template = changed.launch_template().unwrap();
        let own = template.launch_template_specification().unwrap();
        assert_eq!(own.version(), Some("4"));
        assert_eq!((own.launch_template_id(), own.launch_template_name()), (Some("lt-1"), None));
        let other = template.overrides()[0].launch_template_specification().unwrap();
        assert_eq!((other.version(), other.launch_template_name()), (Some("7"), None));
        assert_eq!(template.overrides()[0].instance_type(), Some("m7g.large"));
    }
}
