//! Looks after the certificates: every replica reads them, the one that leads makes and replaces them and tells the API server whom to trust.
//! With files of somebody else's it only reads those. It must never serve with a certificate before its authority is in the Secret.

use super::{
    WebhookSettings,
    certificates::{self, Pair, Pairs},
    tls::{Credentials, Unusable},
};
use crate::{
    apply::{MANAGER, owner},
    lease::Leadership,
    metrics::Injections,
};
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use outrigger_runtime::Clock;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// The entry of the Secret that holds everything.
const ENTRY: &str = "pairs.json";
/// Between two looks while there is nothing to serve with.
const SOON: Duration = Duration::from_millis(250);
/// No turn takes longer.
const LONGEST: Duration = Duration::from_secs(15);

/// See the module.
pub(super) struct Keeper {
    pub(super) client: Client,
    pub(super) settings: WebhookSettings,
    pub(super) credentials: Arc<Credentials>,
    pub(super) leadership: Leadership,
    pub(super) counts: Injections,
    pub(super) clock: Clock,
}

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("{0}: {1}")]
    Read(String, #[source] std::io::Error),
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] Unusable),
    #[error("it took too long")]
    TooLong,
}

impl Keeper {
    pub(super) async fn run(self) {
        // What is served with, so that the same bytes are not parsed again.
        let mut served = Vec::new();
        let mut said = String::new();
        loop {
            let turn = async {
                match &self.settings.given {
                    Some(folder) => self.given(folder, &mut served),
                    None => self.own(&mut served).await,
                }
            };
            let done = tokio::time::timeout(LONGEST, turn).await.unwrap_or(Err(KeepError::TooLong));
            let words = done.err().map(|error| error.to_string()).unwrap_or_default();
            if words != said && !words.is_empty() {
                tracing::warn!(error = words, "the webhook's certificates could not be looked after");
            }
            said = words;
            let pause = if self.credentials.there() { self.settings.look } else { SOON };
            tokio::time::sleep(pause).await;
        }
    }

    fn given(&self, folder: &Path, served: &mut Vec<u8>) -> Result<(), KeepError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|error| KeepError::Read(path.display().to_string(), error))
        };
        self.serve(&read("tls.crt")?, &read("tls.key")?, served)
    }

    async fn own(&self, served: &mut Vec<u8>) -> Result<(), KeepError> {
        let (namespace, name) = &self.settings.secret;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await?;
        let mut pairs = found.as_ref().map(read).unwrap_or_default();
        if self.leadership.held() {
            let now = self.clock.unix_ms();
            let make = || certificates::make(&self.settings.names, now, self.settings.life);
            let wanted = certificates::turn(&pairs, &self.settings.names, now, make)?;
            if wanted != pairs {
                // On the version that was read: of two that think they lead, one is told that it does not.
                self.write(&api, name, found.as_ref(), &wanted).await?;
                tracing::info!("the webhook's certificates were renewed");
                pairs = wanted;
            }
        }
        if let Some(Pair {
            certificate, key, ends, ..
        }) = &pairs.serving
        {
            self.serve(certificate.as_bytes(), key.as_bytes(), served)?;
            self.counts.certificate_ends(*ends / 1_000);
        }
        if self.leadership.held() && pairs.serving.is_some() {
            self.trust(&pairs.bundle()).await?;
        }
        Ok(())
    }

    fn serve(&self, certificate: &[u8], key: &[u8], served: &mut Vec<u8>) -> Result<(), KeepError> {
        if served != certificate {
            self.credentials.set(certificate, key)?;
            *served = certificate.to_vec();
        }
        Ok(())
    }

    async fn write(&self, api: &Api<Secret>, name: &str, found: Option<&Secret>, pairs: &Pairs) -> Result<(), KeepError> {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.resource_version = found.and_then(ResourceExt::resource_version);
        secret.metadata.labels = Some([("app.kubernetes.io/managed-by".to_owned(), "outrigger".to_owned())].into());
        // So that it goes when the chart goes.
        secret.metadata.owner_references = owner(&self.client).await?.map(|owner| vec![owner]);
        let text = serde_json::to_vec(pairs).unwrap_or_default();
        secret.data = Some([(ENTRY.to_owned(), ByteString(text))].into());
        let params = PatchParams::apply(MANAGER).force();
        api.patch(name, &params, &Patch::Apply(&secret)).await?;
        Ok(())
    }

    /// Writes whom the API server is to trust, where that is not what it trusts.
    async fn trust(&self, bundle: &str) -> Result<(), KeepError> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let name = self.settings.configuration.as_str();
        // No configuration: nobody calls.
        let Some(found) = api.get_opt(name).await? else { return Ok(()) };
        let bundle = ByteString(bundle.as_bytes().to_vec());
        let webhooks = found.webhooks.unwrap_or_default();
        let stale = webhooks
            .iter()
            .filter(|webhook| webhook.client_config.ca_bundle.as_ref() != Some(&bundle));
        let stale: Vec<Value> = stale
            .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        if stale.is_empty() {
            return Ok(());
        }
        // Lists of webhooks are merged by name; what is not named stays.
        let patch = json!({"metadata": {"resourceVersion": found.metadata.resource_version}, "webhooks": stale});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch(name, &params, &Patch::Strategic(&patch)).await?;
        tracing::info!(configuration = name, "the API server knows whom to trust");
        Ok(())
    }
}

/// What a Secret holds; what cannot be read is as good as not there, and is made anew.
fn read(secret: &Secret) -> Pairs {
    let bytes = secret.data.as_ref().and_then(|data| data.get(ENTRY));
    bytes.and_then(|bytes| serde_json::from_slice(&bytes.0).ok()).unwrap_or_default()
}
