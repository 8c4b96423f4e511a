//! `permissions`: what an administrator has to grant.

use std::path::Path;

use refit_kubernetes::{Permission, Subject};

use crate::cli::{Permissions, PermissionsCommand};
use crate::exit::{Exit, Failure};
use crate::fleet;
use crate::output::Printer;

/// `refit permissions`
pub(crate) fn permissions(
    directory: &Path,
    options: &Permissions,
    printer: &Printer,
) -> Result<Exit, Failure> {
    match &options.command {
        PermissionsCommand::Kubernetes { to_plan, user, group, service_account } => {
            let subject = match (group, service_account) {
                (Some(group), _) => Subject::Group(group.clone()),
                (None, Some(account)) => service_account_of(account)?,
                (None, None) => Subject::User(user.clone()),
            };
            let fleet = fleet::load(directory, printer)?;
            let mut all: Vec<Permission> = refit_kubernetes::to_plan(&fleet.addons);
            if !to_plan {
                all.extend(refit_kubernetes::to_apply(&fleet.addons));
            }
            let name = if *to_plan { "refit-plan" } else { "refit" };
            let objects = refit_kubernetes::roles(name, &all, &subject);
            let documents: Vec<String> = objects.iter().map(refit_render::yaml).collect();
            printer.data(&documents.join("---\n"))?;
        }
        PermissionsCommand::Aws { to_plan } => printer.json(&refit_aws::policy(!to_plan))?,
    }
    Ok(Exit::Done)
}

fn service_account_of(text: &str) -> Result<Subject, Failure> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(Subject::ServiceAccount { namespace: namespace.into(), name: name.into() })
        }
        _ => {
            let text = format!("`{text}` is not a service account");
            Err(Failure::new(Exit::Usage, text).hint("write `--service-account NAMESPACE/NAME`"))
        }
    }
}
