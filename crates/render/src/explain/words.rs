//! Why an action is there, in words.

use refit_model::{Action, ActionKind, Choice, Origin, Why, WhyNot};

use crate::words::join;

/// Who says something, to stand behind it in parentheses; nothing where nobody is named.
pub(super) fn by(origin: Option<&Origin>) -> String {
    match origin {
        None => String::new(),
        Some(Origin::File(at)) => format!(" ({at})"),
        Some(Origin::Catalogue(source)) => format!(" (catalogue: {source})"),
    }
}

/// Why the action is in the plan, with where that was written.
pub(super) fn why(action: &Action, choice: Option<&Choice>) -> String {
    match &action.why {
        Why::Release { release, at } => format!("release {release} asks for it ({at})"),
        Why::Pin { at } => format!("a pin of the cluster asks for it ({at})"),
        Why::Capped { max, at } => {
            format!("the newest version that `max-version = \"{max}\"` allows ({at})")
        }
        Why::AddonKubelets { addon, version, supports } => {
            format!("{addon} {version}, which comes after it, supports kubelets {supports}")
        }
        Why::AddonAfterNodes { addon } => {
            format!("addons/{addon}/addon.toml has {addon} move after the nodes")
        }
        Why::Skew { rule, before } => {
            format!("the skew policy asks for it before the control plane goes to {before}: {rule}")
        }
        Why::AddonRange { minor, supports } => {
            let by = by(there(choice).and_then(|(_, origin)| origin));
            format!("{} supports {supports}, and {minor} is on the way{by}", name_of_there(choice))
        }
        Why::AddonApi { minor, api } => {
            let there = name_of_there(choice);
            format!("{there} uses {api}, which {minor} on the way does not serve")
        }
        Why::StoredVersion { crd, stored, dropped_by } => {
            format!("objects of {crd} may be stored in {stored}, which {dropped_by} does not list")
        }
        Why::Bridge { to, at } => {
            format!("it is a version on the way to {to}, which is declared ({at})")
        }
        Why::Unlisted => match &action.kind {
            ActionKind::AddonRemove { kept, .. } if !kept.is_empty() => {
                format!("no add-on set of the cluster names it; kept: {}", join(kept, ", "))
            }
            _ => "no add-on set of the cluster names it".to_owned(),
        },
        Why::Drift { fields } if fields.is_empty() => {
            "somebody changed what refit had set".to_owned()
        }
        Why::Drift { fields } => {
            format!("somebody changed what refit had set: {}", join(fields, ", "))
        }
        Why::NewerImage => {
            "a newer image of the same version exists, and the pool or the command asks for it"
                .to_owned()
        }
        Why::Asked => "the command asked for it".to_owned(),
        Why::LeftBehind => "a run that did not end left cordons or settings behind".to_owned(),
        Why::LaunchesTooNew => {
            "a group would launch nodes that are newer than the control plane".to_owned()
        }
        Why::OnDelete => {
            "nodes of the pool are replaced when somebody deletes them; new ones come in this version"
                .to_owned()
        }
        Why::Waves => "the next wave of the channel begins when this one has ended".to_owned(),
    }
}

fn name_of_there(choice: Option<&Choice>) -> String {
    there(choice).map_or_else(|| "what is there".to_owned(), |(version, _)| version)
}

/// The version that is there, as the choice tells it.
fn there(choice: Option<&Choice>) -> Option<(String, Option<&Origin>)> {
    let Choice::Addon(choice) = choice? else { return None };
    let is_there = |why: &WhyNot| *why == WhyNot::IsThere;
    let other = choice.others.iter().find(|other| other.why_not.iter().any(is_there))?;
    Some((format!("{} {}", choice.addon, other.version), other.support.said_by.as_ref()))
}
