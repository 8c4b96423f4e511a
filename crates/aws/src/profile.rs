//! Credentials of a profile that a cluster's file names.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};

/// Nothing but the profile: who names one means it, whatever keys the environment has. The SDK's
/// default chain takes a profile after the environment, and goes on where there is none.
#[derive(Debug)]
pub(crate) struct Named {
    profile: String,
    files: ProfileFileCredentialsProvider,
}

impl Named {
    pub(crate) fn new(profile: &str, config: &ProviderConfig) -> Self {
        let files = ProfileFileCredentialsProvider::builder().configure(config);
        Self { profile: profile.to_owned(), files: files.profile_name(profile).build() }
    }

    async fn credentials(&self) -> Result {
        self.files.provide_credentials().await.map_err(|error| match error {
            // The SDK does not say of what.
            CredentialsError::CredentialsNotLoaded(_) => {
                let profile = &self.profile;
                CredentialsError::invalid_configuration(format!(
                    "there is no profile `{profile}` with credentials in the shared configuration files"
                ))
            }
            other => other,
        })
    }
}

impl ProvideCredentials for Named {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}
