//! What a cluster's file keeps from it: a freeze, and versions above its `max-version`. And which
//! findings it accepts.

use std::ops::Range;

use refit_model::{Acceptance, Capped, Code, Freeze, KubeVersion, MaxVersion, Target, Written};

use super::Resolver;
use crate::diagnostic::{Diagnostic, quoted};
use crate::raw::ClusterTable;
use crate::text::Text;

/// What a cluster's file keeps from it.
pub(super) struct KeptBack {
    pub(super) freeze: Option<Written<Freeze>>,
    max: Option<Written<MaxVersion>>,
}

/// Returns the freeze that ends later.
pub(super) fn later(
    one: Option<Written<Freeze>>,
    other: Option<Written<Freeze>>,
) -> Option<Written<Freeze>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(match (one.value.until, other.value.until) {
            (None, _) => one,
            (Some(first), Some(second)) if first >= second => one,
            (Some(_), _) => other,
        }),
        (one, other) => one.or(other),
    }
}

impl Resolver<'_> {
    pub(super) fn kept_back(&mut self, file: &str, raw: &ClusterTable) -> KeptBack {
        let freeze = self.freeze(file, raw.freeze.as_ref());
        let max = raw.max_version.as_ref().and_then(|text| {
            let value = self.parse(file, text)?;
            Some(Written { value, at: self.location(file, &text.span) })
        });
        KeptBack { freeze, max }
    }

    /// Returns the freeze of a channel or a cluster, as it is written.
    pub(super) fn freeze(
        &mut self,
        file: &str,
        text: Option<&Text<Freeze>>,
    ) -> Option<Written<Freeze>> {
        let text = text?;
        let value = self.parse(file, text)?;
        Some(Written { value, at: self.location(file, &text.span) })
    }

    /// Returns the findings that the cluster's file accepts. Reports those that cannot be accepted, and
    /// those without a reason.
    pub(super) fn accepted(&mut self, file: &str, raw: &ClusterTable) -> Vec<Written<Acceptance>> {
        let mut accepted = Vec::new();
        for table in &raw.accept {
            let finding = self.parse(file, &table.finding);
            let until = self.parse(file, &table.until);
            let mut is_right = true;
            if let Some(code) = finding.filter(|code| !Code::ACCEPTABLE.contains(code)) {
                let all: Vec<String> = Code::ACCEPTABLE.iter().map(ToString::to_string).collect();
                let diagnostic = Diagnostic::error(format!("{code} cannot be accepted"))
                    .at(file, &table.finding.span, "")
                    .hint(format!("these can: {}", all.join(", ")));
                self.report(diagnostic);
                is_right = false;
            }
            for (what, text) in [("subject", &table.subject), ("reason", &table.reason)] {
                if text.value.trim().is_empty() {
                    let message = format!("the {what} of an accepted finding is empty");
                    self.report(Diagnostic::error(message).at(file, &text.span, ""));
                    is_right = false;
                }
            }
            if let (Some(finding), Some(until), true) = (finding, until, is_right) {
                let value = Acceptance {
                    finding,
                    subject: table.subject.value.clone(),
                    until: until.0,
                    reason: table.reason.value.trim().to_owned(),
                };
                accepted.push(Written { value, at: self.location(file, &table.finding.span) });
            }
        }
        accepted
    }

    /// The version of a pin, which must not be above the cluster's `max-version`.
    pub(super) fn pin_within(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        pinned: KubeVersion,
        span: &Range<usize>,
        limits: &KeptBack,
    ) -> KubeVersion {
        if let (Some(max), Some(text)) = (&limits.max, &raw.max_version)
            && !max.value.allows(&pinned)
        {
            let message = format!(
                "{} is pinned to {pinned}, above its `max-version`",
                quoted(&raw.name.text)
            );
            let diagnostic = Diagnostic::error(message)
                .at(file, span, "pinned here")
                .also(file, &text.span, format!("at most {}", max.value))
                .hint("lower the pin, or raise `max-version`");
            self.report(diagnostic);
        }
        pinned
    }

    /// The release's version, or the newest available one that `max-version` allows.
    pub(super) fn within(
        &mut self,
        file: &str,
        raw: &ClusterTable,
        released: Target<KubeVersion>,
        limits: &KeptBack,
    ) -> Option<(Target<KubeVersion>, Option<Capped>)> {
        let (Some(max), Some(text)) = (&limits.max, &raw.max_version) else {
            return Some((released, None));
        };
        if max.value.allows(&released.value) {
            return Some((released, None));
        }
        let newest = self.available.iter().rev().find(|version| max.value.allows(version));
        let Some(value) = newest.cloned() else {
            if self.available_known {
                let names: Vec<String> = self.available.iter().map(ToString::to_string).collect();
                let message = format!("no available version is within {}", max.value);
                let diagnostic = Diagnostic::error(message)
                    .at(file, &text.span, "not in `kubernetes.available` of fleet.toml")
                    .hint(format!("available: {}", names.join(", ")));
                self.report(diagnostic);
            }
            return None;
        };
        let kubernetes = Target { value, pinned: true, at: max.at.clone() };
        Some((kubernetes, Some(Capped { max: max.clone(), wanted: released })))
    }
}
