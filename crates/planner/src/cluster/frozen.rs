//! What a cluster's own file keeps from it: a freeze, and versions above its `max-version`.

use refit_model::{Cluster, ClusterName, Code, Finding, Freeze, Severity, Subject, Why, Written};

use super::Planned;
use crate::checks::Blocker;
use crate::few::few;

impl Planned {
    /// Takes everything back but what tidies up, and tells what waits for the end of the freeze.
    /// What would block the cluster is only told: nothing is to be planned for it anyway.
    #[must_use]
    pub(crate) fn frozen(mut self, name: &ClusterName, freeze: &Written<Freeze>) -> Self {
        if !self.is_undone() {
            return self;
        }
        let waits = self.what_waits();
        // What is blocked is left with what tidies up already.
        let was_blocked = self.is_blocked();
        for finding in self.findings.iter_mut().filter(|finding| finding.severity.blocks()) {
            finding.severity = Severity::Warning;
        }
        self.findings.push(Finding {
            severity: Severity::Note,
            code: Code::RF041,
            subject: Subject::cluster(name),
            evidence: format!("is frozen {} ({}); {waits}", freeze.value, freeze.at),
            hint: String::new(),
        });
        if !was_blocked {
            self.only_tidy_up();
        }
        self.frozen = true;
        self
    }

    fn what_waits(&self) -> String {
        if self.is_blocked() {
            return "what waits cannot be planned as it is".to_owned();
        }
        let waiting: Vec<String> = self
            .actions
            .iter()
            .filter(|action| action.why != Why::LeftBehind)
            .map(|action| action.kind.to_string())
            .collect();
        match waiting.len() {
            0 => "nothing waits but to tidy up, which is done".to_owned(),
            1 => format!("1 action waits: {}", few(&waiting)),
            n => format!("{n} actions wait: {}", few(&waiting)),
        }
    }
}

/// A note when the cluster does not go to its release's version.
pub(super) fn capped(cluster: &Cluster) -> Option<Blocker> {
    let capped = cluster.capped.as_ref()?;
    let (max, wanted) = (&capped.max, &capped.wanted);
    let evidence = format!(
        "stays at {}: `max-version` is {} ({}), and the release declares {} ({})",
        cluster.kubernetes.value, max.value, max.at, wanted.value, wanted.at
    );
    let blocker = Blocker::new(Code::RF042, evidence, "");
    Some(blocker.of("control-plane").weighing(Severity::Note))
}
