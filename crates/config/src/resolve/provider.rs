//! Who runs a cluster's machines: real ones, or the simulator with what runs there at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use refit_model::{
    AddonName, AddonVersion, AwsCluster, GroupName, Provider, SimulatedStart, SimulatedWorkload,
    WorkloadBudget, WorkloadRef, Zone,
};

use super::Resolver;
use super::clusters::Seen;
use crate::diagnostic::{Diagnostic, known, quoted};
use crate::raw::{
    COMPLETES_AFTER, ClusterTable, NAMESPACE, ProviderKind, WorkloadKind, WorkloadTable,
};
use crate::text::At;

impl Resolver<'_> {
    pub(super) fn provider(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        control: &[GroupName],
        groups: &BTreeSet<GroupName>,
    ) -> Option<Provider> {
        match raw.provider.kind.value {
            ProviderKind::Aws => self.aws(file, raw),
            ProviderKind::Simulated => self.simulated(file, raw, control, groups),
        }
    }

    fn aws(&mut self, file: &str, raw: &ClusterTable) -> Option<Provider> {
        let table = &raw.provider;
        let zones = table.zones.as_ref().map(|zones| ("zones", &zones.span));
        let start = table.start.as_ref().map(|start| ("start", &start.span));
        self.foreign_keys(file, "aws", [zones, start].into_iter().flatten());
        for (key, value) in [
            ("context", &raw.context),
            ("region", &table.region),
            ("profile", &table.profile),
            ("role-arn", &table.role_arn),
            ("external-id", &table.external_id),
        ] {
            let Some(At { span, value }) = value else { continue };
            if value.trim().is_empty() {
                let message = format!("`{key}` is empty");
                self.report(
                    Diagnostic::error(message).at(file, span, "").hint("remove it, or name one"),
                );
            }
        }
        if let (Some(id), None) = (&table.external_id, &table.role_arn) {
            let diagnostic = Diagnostic::error("`external-id` has no effect without `role-arn`")
                .at(file, &id.span, "")
                .hint("name the role that asks for it, or remove it");
            self.report(diagnostic);
        }
        let role = table.role_arn.as_ref().filter(|role| !role.value.starts_with("arn:"));
        if let Some(At { span, value }) = role {
            let diagnostic =
                Diagnostic::error(format!("{} is not the ARN of a role", quoted(value)))
                    .at(file, span, "")
                    .hint("such as \"arn:aws:iam::123456789012:role/refit\"");
            self.report(diagnostic);
        }
        let Some(region) = &table.region else {
            self.missing_key(
                file,
                table.kind.span.clone(),
                "aws",
                "region",
                "such as `region = \"eu-west-1\"`",
            );
            return None;
        };
        let text = |value: &Option<At<String>>| value.as_ref().map(|at| at.value.clone());
        Some(Provider::Aws(AwsCluster {
            context: text(&raw.context).unwrap_or_else(|| raw.name.text.clone()),
            region: region.value.clone(),
            profile: text(&table.profile),
            role_arn: text(&table.role_arn),
            external_id: text(&table.external_id),
        }))
    }

    /// Keys that the kind of provider does nothing with.
    fn foreign_keys<'a>(
        &mut self,
        file: &str,
        kind: &str,
        keys: impl Iterator<Item = (&'static str, &'a Range<usize>)>,
    ) {
        for (key, span) in keys {
            let message = format!("`{key}` has no effect with `kind = \"{kind}\"`");
            self.report(Diagnostic::error(message).at(file, span, "").hint("remove it"));
        }
    }

    fn missing_key(&mut self, file: &str, span: Range<usize>, kind: &str, key: &str, hint: &str) {
        let message = format!("`[provider]` has no `{key}`");
        let label = format!("`{kind}` needs it");
        self.report(Diagnostic::error(message).at(file, &span, label).hint(hint));
    }

    fn simulated(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        control: &[GroupName],
        groups: &BTreeSet<GroupName>,
    ) -> Option<Provider> {
        let (table, cluster) = (&raw.provider, &raw.name.text);
        let keys = [
            ("context", &raw.context),
            ("region", &table.region),
            ("profile", &table.profile),
            ("role-arn", &table.role_arn),
            ("external-id", &table.external_id),
        ];
        let keys = keys.into_iter().filter_map(|(key, value)| Some((key, &value.as_ref()?.span)));
        self.foreign_keys(file, "simulated", keys);
        if table.zones.is_none() {
            let span = table.kind.span.clone();
            self.missing_key(file, span, "simulated", "zones", "such as `zones = [\"a\", \"b\"]`");
        }
        let Some(At { value: start, .. }) = &table.start else {
            let span = table.kind.span.clone();
            self.missing_key(
                file,
                span,
                "simulated",
                "start",
                "such as `start = { kubernetes = \"1.35.4\" }`",
            );
            return None;
        };
        let mut zones: Vec<Zone> = Vec::new();
        for text in table.zones.iter().flat_map(|zones| &zones.value) {
            let Some(zone) = self.parse(file, text) else { continue };
            if zones.contains(&zone) {
                let message = format!("the zone {} stands here twice", quoted(zone.as_str()));
                let diagnostic =
                    Diagnostic::error(message).at(file, &text.span, "again").hint("remove it");
                self.report(diagnostic);
                continue;
            }
            zones.push(zone);
        }
        let kubernetes = self.parse(file, &start.kubernetes);
        let addons = self.set(file, &start.addons);
        let foreign = self.set(file, &start.foreign_addons);
        for (addon, (_, span)) in &foreign {
            if let Some((_, first)) = addons.get(addon) {
                let message = format!("{addon} is installed twice at the start");
                let diagnostic = Diagnostic::error(message)
                    .at(file, span, "by somebody else")
                    .also(file, first, "by refit")
                    .hint("remove one of them");
                self.report(diagnostic);
            }
        }
        let mut group_sizes = BTreeMap::new();
        for (text, size) in &start.group_sizes {
            let Some(name) = self.parse(file, text) else { continue };
            if !groups.contains(&name) {
                let names = groups.iter().map(GroupName::as_str);
                let hints = known(name.as_str(), "its groups", names);
                let message = format!("{cluster} has no group {}", quoted(name.as_str()));
                let diagnostic =
                    Diagnostic::error(message).at(file, &text.span, "no such group").hints(hints);
                self.report(diagnostic);
            } else if size.value == 0 && control.contains(&name) {
                let message = format!("the group {} has no instance", quoted(name.as_str()));
                let diagnostic = Diagnostic::error(message)
                    .at(file, &size.span, "part of the control plane")
                    .hint("a group of a control plane has at least one");
                self.report(diagnostic);
            }
            group_sizes.insert(name, size.value);
        }
        let mut seen: Seen = BTreeMap::new();
        let mut workloads = Vec::new();
        for written in &start.workloads {
            let Some(workload) = self.workload(file, written) else { continue };
            let text = workload.workload.to_string();
            let what = format!("workloads of {cluster}");
            if self.is_new(&mut seen, &what, &text, (file, &written.name.span)) {
                workloads.push(workload);
            }
        }
        let versions = |set: BTreeMap<AddonName, (AddonVersion, Range<usize>)>| {
            set.into_iter().map(|(name, (version, _))| (name, version)).collect()
        };
        Some(Provider::Simulated(SimulatedStart {
            zones,
            kubernetes: kubernetes?,
            addons: versions(addons),
            foreign_addons: versions(foreign),
            group_sizes,
            workloads,
        }))
    }

    fn workload(&mut self, file: &str, raw: &WorkloadTable) -> Option<SimulatedWorkload> {
        let namespace = raw.namespace.as_deref().unwrap_or(NAMESPACE);
        let name = &raw.name.value;
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= 253
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        };
        if !plain(namespace) || !plain(name) {
            let message =
                format!("{} is no name of a workload", quoted(&format!("{namespace}/{name}")));
            let diagnostic = Diagnostic::error(message)
                .at(file, &raw.name.span, "")
                .hint("namespace and name have lower-case letters, digits and `-`");
            self.report(diagnostic);
            return None;
        }
        let budget = match (&raw.min_available, &raw.max_unavailable) {
            (Some(minimum), Some(maximum)) => {
                let message = "a budget has `min-available` or `max-unavailable`, not both";
                let diagnostic = Diagnostic::error(message)
                    .at(file, &maximum.span, "")
                    .also(file, &minimum.span, "")
                    .hint("remove one of them");
                self.report(diagnostic);
                return None;
            }
            (Some(minimum), None) => {
                Some(WorkloadBudget::MinAvailable(self.quantity(file, Some(minimum), 0)?))
            }
            (None, Some(maximum)) => {
                Some(WorkloadBudget::MaxUnavailable(self.quantity(file, Some(maximum), 0)?))
            }
            (None, None) => None,
        };
        let completes_after = match (&raw.completes_after, raw.kind) {
            (Some(written), WorkloadKind::Deployment | WorkloadKind::StatefulSet) => {
                let diagnostic =
                    Diagnostic::error(format!("a {} does not complete", raw.kind.as_str()))
                        .at(file, &written.span, "")
                        .hint("remove `completes-after`, or write `kind = \"Job\"`");
                self.report(diagnostic);
                return None;
            }
            (written, _) => self.period(file, written.as_ref(), COMPLETES_AFTER)?,
        };
        Some(SimulatedWorkload {
            workload: WorkloadRef::new(raw.kind.as_str(), namespace, name),
            replicas: raw.replicas,
            budget,
            zonal_volumes: raw.zonal_volumes,
            completes_after,
        })
    }
}
