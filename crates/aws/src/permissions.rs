//! The actions of IAM that refit calls
//! ([reference](https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html)).

use serde_json::{Value, json};

/// What observing and planning take.
pub const TO_PLAN: [&str; 8] = [
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeInstanceRefreshes",
    "autoscaling:DescribeLifecycleHooks",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplateVersions",
    "elasticloadbalancing:DescribeTargetHealth",
    "sts:GetCallerIdentity",
];

/// What applying takes besides.
pub const TO_APPLY: [&str; 11] = [
    "autoscaling:CreateOrUpdateTags",
    "autoscaling:DeleteTags",
    "autoscaling:ResumeProcesses",
    "autoscaling:SetDesiredCapacity",
    "autoscaling:SetInstanceProtection",
    "autoscaling:SuspendProcesses",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "autoscaling:UpdateAutoScalingGroup",
    "ec2:CreateLaunchTemplateVersion",
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:RegisterTargets",
];

/// What Auto Scaling asks of whoever points a group at a launch template, beside its own action:
/// that they may launch what the template describes.
const TO_LAUNCH: [&str; 2] = ["ec2:CreateTags", "ec2:RunInstances"];

/// An IAM policy that allows it. Roles that instances get are passed to EC2 only.
pub fn policy(writes: bool) -> Value {
    let statement = |id: &str, actions: &[&str]| json!({ "Sid": id, "Effect": "Allow", "Action": actions, "Resource": "*" });
    let mut statements = vec![statement("Plan", &TO_PLAN)];
    if writes {
        statements.push(statement("Apply", &TO_APPLY));
        statements.push(statement("Launch", &TO_LAUNCH));
        let mut pass = statement("PassInstanceRoles", &["iam:PassRole"]);
        pass["Condition"] = json!({
            "StringEquals": { "iam:PassedToService": "ec2.amazonaws.com" },
        });
        statements.push(pass);
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planning_only_describes() {
        for action in TO_PLAN {
            let (_, verb) = action.split_once(':').unwrap();
            assert!(verb.starts_with("Describe") || verb.starts_with("Get"), "{action}");
        }
        let policy = policy(false);
        assert_eq!(policy["Statement"].as_array().unwrap().len(), 1);
    }
}
