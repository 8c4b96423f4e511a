//! Node pools and control planes on EC2 Auto Scaling: what they are, and the single calls that
//! change them.
//!
//! One [`Aws`] serves one cluster, with the credentials and the region that its file names.
//! It translates and sorts errors by code; what to do, and when again, is the engine's.

use std::sync::Arc;
use std::time::Duration;

use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_smithy_http_client::tls::{Provider as Tls, rustls_provider::CryptoMode};
use refit_model::AwsCluster;
use tokio::sync::OnceCell;

mod act;
mod discover;
mod error;
mod groups;
mod images;
mod look;
mod permissions;
mod profile;
mod sdk;
mod targets;
mod templates;

use profile::Named;

pub use discover::{FoundGroup, FoundImage};
pub use permissions::{TO_APPLY, TO_PLAN, policy};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one call may take. The slowest, a page of images, takes seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// The name of the sessions of an assumed role, as CloudTrail shows it.
const SESSION: &str = "refit";

/// The account and region of one cluster.
#[derive(Clone, Debug)]
pub struct Aws {
    clients: Arc<Clients>,
    region: String,
}

#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) autoscaling: aws_sdk_autoscaling::Client,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) load_balancers: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) sts: aws_sdk_sts::Client,
    /// Asked for once: credentials do not move to another account.
    pub(crate) account: OnceCell<String>,
}

impl Aws {
    /// Makes the clients; asks nobody yet. Credentials come from the default chain, or, where a
    /// profile is named, from nothing but that, and through the role if one is named.
    /// `AWS_ENDPOINT_URL` and its kin count as in every SDK.
    pub async fn new(cluster: &AwsCluster) -> Self {
        let config = config(cluster).await;
        let clients = Clients {
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            ec2: aws_sdk_ec2::Client::new(&config),
            load_balancers: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            account: OnceCell::new(),
        };
        Self { clients: Arc::new(clients), region: cluster.region.clone() }
    }
}

async fn config(cluster: &AwsCluster) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Tls::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let region = Region::new(cluster.region.clone());
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region.clone())
        .http_client(http.clone())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled());
    if let Some(profile) = &cluster.profile {
        let provider = ProviderConfig::default().with_region(Some(region)).with_http_client(http);
        let named = Named::new(profile, &provider);
        loader = loader.profile_name(profile).credentials_provider(named);
    }
    let base = loader.load().await;
    let Some(role) = &cluster.role_arn else { return base };
    let mut assumed = AssumeRoleProvider::builder(role).session_name(SESSION).configure(&base);
    if let Some(id) = &cluster.external_id {
        assumed = assumed.external_id(id);
    }
    let credentials = aws_sdk_sts::config::SharedCredentialsProvider::new(assumed.build().await);
    base.into_builder().credentials_provider(credentials).build()
}
