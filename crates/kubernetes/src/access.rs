//! Which kubeconfig, which context: how a cluster is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::Kubernetes;
use crate::api::Api;
use crate::error::chain;

/// How long an answer may take to begin: a page of pods of a busy apiserver takes seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a cluster cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no kubeconfig.
    #[error("there is no kubeconfig: name one with --kubeconfig or KUBECONFIG")]
    None,
    /// A kubeconfig cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The context is not in it.
    #[error("the kubeconfig has no context `{context}`; it has {known}")]
    NoContext {
        /// What was asked for.
        context: String,
        /// What there is.
        known: String,
    },
}

/// The kubeconfig of a run: one file, or those of `KUBECONFIG` merged, or `~/.kube/config`.
///
/// Inside of a cluster and without any kubeconfig, the pod's service account is used.
#[derive(Clone, Debug)]
pub struct Kubeconfigs(Option<Arc<Kubeconfig>>);

impl Kubeconfigs {
    /// Reads it.
    ///
    /// # Errors
    /// When a file is named and cannot be read, or is no kubeconfig.
    pub fn read(file: Option<&Path>) -> Result<Self, AccessError> {
        let unusable = |error: kube::config::KubeconfigError| {
            AccessError::Unusable(format!("cannot use the kubeconfig: {}", chain(&error)))
        };
        if let Some(file) = file {
            let read = Kubeconfig::read_from(file).map_err(unusable)?;
            return Ok(Self(Some(Arc::new(read))));
        }
        if let Some(merged) = Kubeconfig::from_env().map_err(unusable)? {
            return Ok(Self(Some(Arc::new(merged))));
        }
        let home: Option<PathBuf> = std::env::var_os("HOME").map(PathBuf::from);
        let default = home.map(|home| home.join(".kube/config")).filter(|file| file.exists());
        let Some(default) = default else { return Ok(Self(None)) };
        Ok(Self(Some(Arc::new(Kubeconfig::read_from(default).map_err(unusable)?))))
    }

    /// The names of its contexts.
    pub fn contexts(&self) -> Vec<&str> {
        let Some(kubeconfig) = &self.0 else { return Vec::new() };
        kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect()
    }

    /// The cluster of a context. Nobody is asked yet.
    ///
    /// # Errors
    /// When there is no such context, or its entries cannot be used.
    pub async fn connect(&self, context: &str) -> Result<Kubernetes, AccessError> {
        let unusable = |error: &dyn std::error::Error| {
            AccessError::Unusable(format!("cannot use context `{context}`: {}", chain(error)))
        };
        let mut config = match &self.0 {
            Some(kubeconfig) => {
                let known = self.contexts();
                if !known.contains(&context) {
                    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                    return Err(AccessError::NoContext { context: context.to_owned(), known });
                }
                let options = KubeConfigOptions {
                    context: Some(context.to_owned()),
                    ..KubeConfigOptions::default()
                };
                Config::from_custom_kubeconfig(Kubeconfig::clone(kubeconfig), &options)
                    .await
                    .map_err(|error| unusable(&error))?
            }
            None => Config::incluster().map_err(|_| AccessError::None)?,
        };
        // Retries are the engine's: an eviction that a budget forbids must not be sent again here.
        config.default_retry = false;
        config.read_timeout = Some(READ_TIMEOUT);
        let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        let client = Client::try_from(config).map_err(|error| match plugin {
            Some(plugin) => AccessError::Unusable(format!(
                "cannot use context `{context}`: its credential plugin `{plugin}`: {}",
                chain(&error)
            )),
            None => unusable(&error),
        })?;
        Ok(Kubernetes { api: Api::new(client) })
    }
}
