//! The REST API: single requests, lists by pages, and which path a kind is served at.
//!
//! Answers are read into structures that have only the fields that refit keeps, page by page:
//! a large cluster is never in memory whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use http::{Method, Request};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;
use refit_provider::{ErrorClass, ProviderError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::error::{is_gone, is_no_object, sorted};

/// Objects per page.
const PAGE: &str = "500";

/// How the body of a request is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// An object.
    Object,
    /// A JSON merge patch.
    Merge,
    /// A JSON patch.
    Json,
    /// An object to be applied by the server.
    Apply,
}

impl Body {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Object => "application/json",
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            // JSON is YAML.
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// Where a kind is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Such as `/apis/apps/v1` or `/api/v1`.
    root: String,
    /// Such as `deployments`.
    plural: String,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
}

impl Served {
    /// The path of all of its objects, or of those in a namespace.
    pub(crate) fn list(&self, namespace: Option<&str>) -> String {
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", self.root, self.plural),
            None => format!("{}/{}", self.root, self.plural),
        }
    }

    /// The path of one object.
    pub(crate) fn object(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{name}", self.list(namespace))
    }
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

/// The path of the next page.
fn page_of(path: &str, selector: Option<&str>, next: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", PAGE);
    if let Some(selector) = selector {
        query.append_pair("labelSelector", selector);
    }
    if !next.is_empty() {
        query.append_pair("continue", next);
    }
    format!("{path}?{}", query.finish())
}

/// An apiserver, and what it is known to serve.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    served: Arc<Mutex<BTreeMap<String, BTreeMap<String, Served>>>>,
    /// The groups that the apiserver could not tell the kinds of when it was last asked, such as
    /// that of a broken APIService.
    broken: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, served: Arc::default(), broken: Arc::default() }
    }

    fn request(method: Method, path: &str, body: Option<(Body, &Value)>) -> Request<Vec<u8>> {
        let mut request = Request::new(Vec::new());
        *request.method_mut() = method;
        // Paths are made of names that the API has accepted; what is not a path fails as a call.
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
        if let Some((kind, value)) = body {
            let content_type = http::HeaderValue::from_static(kind.content_type());
            request.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
            *request.body_mut() = value.to_string().into_bytes();
        }
        request
    }

    /// One object; `what` names the call in errors.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<T, ProviderError> {
        let answer = self.client.request(Self::request(Method::GET, path, None)).await;
        answer.map_err(|error| sorted(what, false, &error))
    }

    /// One object, or none if there is none.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<Option<T>, ProviderError> {
        match self.client.request(Self::request(Method::GET, path, None)).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(sorted(what, false, &error)),
        }
    }

    /// One object of a kind that has to be served, or none if there is none.
    pub(crate) async fn find_served(
        &self,
        what: &str,
        path: &str,
    ) -> Result<Option<Value>, ProviderError> {
        match self.client.request(Self::request(Method::GET, path, None)).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_no_object(&error) => Ok(None),
            Err(error) => Err(sorted(what, false, &error)),
        }
    }

    /// All objects of a list, by pages.
    pub(crate) async fn list<T: DeserializeOwned + Send>(
        &self,
        what: &str,
        path: &str,
        selector: Option<&str>,
        mut each: impl FnMut(T) + Send,
    ) -> Result<(), ProviderError> {
        let mut next = String::new();
        loop {
            let page: Page<T> = self.get(what, &page_of(path, selector, &next)).await?;
            page.items.into_iter().for_each(&mut each);
            if page.metadata.next.is_empty() {
                return Ok(());
            }
            next = page.metadata.next;
        }
    }

    /// A call that writes; none if what it is for does not exist.
    pub(crate) async fn write(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<(Body, &Value)>,
    ) -> Result<Option<Value>, ProviderError> {
        match self.client.request(Self::request(method, path, body)).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(sorted(what, true, &error)),
        }
    }

    /// Writes an object back as it was read. That it was written since, or is gone, is as good:
    /// either way it is stored as the apiserver stores it now.
    pub(crate) async fn put_back(
        &self,
        what: &str,
        path: &str,
        object: &Value,
    ) -> Result<(), ProviderError> {
        let request = Self::request(Method::PUT, path, Some((Body::Object, object)));
        match self.client.request::<Value>(request).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) if is_no_object(&error) => Ok(()),
            Err(error) => {
                let mut failed = sorted(what, true, &error);
                if matches!(&error, kube::Error::Api(status) if status.code == 422) {
                    failed.message.push_str(" (correct the object or delete it, then go on)");
                }
                Err(failed)
            }
        }
    }

    /// Where a kind is served; none: nowhere. Each group is asked by itself, so that a broken
    /// one hides nothing but its own kinds.
    pub(crate) async fn served(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Served>, ProviderError> {
        let mut known = self.served.lock().await;
        if let Some(found) = known.get(api_version).and_then(|kinds| kinds.get(kind)) {
            return Ok(Some(found.clone()));
        }
        let root = match api_version.split_once('/') {
            Some(_) => format!("/apis/{api_version}"),
            None => format!("/api/{api_version}"),
        };
        let what = format!("look which kinds of {api_version} there are");
        let asked = self.client.request(Self::request(Method::GET, &root, None)).await;
        let is_broken = matches!(&asked, Err(kube::Error::Api(status)) if status.code >= 500);
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if is_broken {
            self.broken.lock().await.insert(group.to_owned());
        } else {
            self.broken.lock().await.remove(group);
        }
        let list: APIResourceList = match asked {
            Ok(list) => list,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(sorted(&what, false, &error)),
        };
        let kinds: BTreeMap<String, Served> = list
            .resources
            .into_iter()
            .filter(|resource| !resource.name.contains('/'))
            .map(|resource| {
                let served = Served {
                    root: root.clone(),
                    plural: resource.name,
                    namespaced: resource.namespaced,
                };
                (resource.kind, served)
            })
            .collect();
        let found = kinds.get(kind).cloned();
        known.insert(api_version.to_owned(), kinds);
        Ok(found)
    }

    /// Whether the kinds of one of these groups could not be told.
    pub(crate) async fn any_broken<'a>(&self, mut groups: impl Iterator<Item = &'a str>) -> bool {
        let broken = self.broken.lock().await;
        groups.any(|group| broken.contains(group))
    }

    /// As [`Api::served`], for a kind that has to be there.
    pub(crate) async fn must_serve(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Served, ProviderError> {
        self.served(api_version, kind).await?.ok_or_else(|| {
            let text = format!("the cluster serves no {kind} of {api_version}");
            ProviderError::new(ErrorClass::Permanent, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let pods = Served { root: "/api/v1".into(), plural: "pods".into(), namespaced: true };
        assert_eq!(pods.list(None), "/api/v1/pods");
        assert_eq!(pods.object(Some("shop"), "cart"), "/api/v1/namespaces/shop/pods/cart");
        let roles = Served {
            root: "/apis/rbac.authorization.k8s.io/v1".into(),
            plural: "clusterroles".into(),
            namespaced: false,
        };
        assert_eq!(
            roles.object(Some("ignored"), "system:coredns"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:coredns"
        );
    }
}
