//! From a URL to the client of a store. Credentials come from the environment, never from the URL.

use std::fs;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme};
use url::Url;

use super::PayloadError;

/// A store, and the path in it where podpool may write.
pub(super) struct Opened {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// The URL without secrets, for people.
    pub(super) name: String,
    /// The source of its credentials, for people.
    pub(super) advice: &'static str,
}

/// Opens a store, without a call to it.
pub(super) fn open(text: &str) -> Result<Opened, PayloadError> {
    let refused = |reason: String| PayloadError::Url {
        url: public(text),
        reason,
    };
    let url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
    let unknown = |_| refused("no store has such a URL".to_owned());
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(unknown)?;
    let (objects, prefix, advice) = match scheme {
        // The store of a directory begins at that directory, so its prefix is empty. Those of buckets begin at the
        // bucket.
        ObjectStoreScheme::Local => (
            directory(&url).map_err(refused)?,
            Path::default(),
            DIRECTORY,
        ),
        ObjectStoreScheme::Memory => (
            Arc::new(InMemory::new()) as Arc<dyn ObjectStore>,
            prefix,
            "",
        ),
        ObjectStoreScheme::AmazonS3 => (cloud::s3(&url)?, prefix, S3),
        ObjectStoreScheme::GoogleCloudStorage => (cloud::gcs(&url)?, prefix, GCS),
        ObjectStoreScheme::MicrosoftAzure => (cloud::azure(&url)?, prefix, AZURE),
        _ => return Err(refused(format!("{}:// is no payload store", url.scheme()))),
    };
    Ok(Opened {
        objects,
        prefix,
        name: public(text),
        advice,
    })
}

const DIRECTORY: &str = "look at the directory's owner and mode";
const S3: &str = "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a role, AWS_REGION, and the rights \
    s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket";
const GCS: &str = "give GOOGLE_APPLICATION_CREDENTIALS or a workload identity, and the role \
    roles/storage.objectUser on the bucket";
const AZURE: &str = "give AZURE_STORAGE_ACCOUNT_NAME and a key or a workload identity, and the role Storage Blob \
    Data Contributor on the container";

/// A URL without password and query, which may hold secrets.
fn public(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return text.split('?').next().unwrap_or_default().to_owned();
    };
    url.set_query(None);
    // Refused only for URLs that cannot have a password.
    url.set_password(None).ok();
    url.into()
}

fn directory(url: &Url) -> Result<Arc<dyn ObjectStore>, String> {
    let path = url
        .to_file_path()
        .map_err(|()| "it names no directory".to_owned())?;
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let store = LocalFileSystem::new_with_prefix(&path).map_err(|error| error.to_string())?;
    // A bucket has no directories. Here those of a run are removed with its last object, so that nothing of it stays.
    Ok(Arc::new(store.with_automatic_cleanup(true)))
}

#[cfg(not(all(
    feature = "payload-azure",
    feature = "payload-gcs",
    feature = "payload-s3"
)))]
fn missing(url: &Url, feature: &'static str) -> PayloadError {
    PayloadError::FeatureMissing {
        url: public(url.as_str()),
        feature,
    }
}

mod cloud {
    //! One function for each cloud, compiled in or not.

    use std::sync::Arc;

    use object_store::ObjectStore;
    use url::Url;

    use super::PayloadError;

    type Store = Result<Arc<dyn ObjectStore>, PayloadError>;

    macro_rules! cloud {
        ($name:ident, $feature:literal, $builder:path, $key:path) => {
            #[cfg(feature = $feature)]
            pub(super) fn $name(url: &Url) -> Store {
                use $builder as Builder;
                use $key as Key;
                super::transport::prepare();
                let builder = Builder::from_env()
                    .with_url(url.as_str())
                    .with_retry(super::transport::retries())
                    .with_config(
                        Key::Client(object_store::ClientConfigKey::Timeout),
                        super::transport::LONGEST_CALL,
                    );
                let store = builder.build().map_err(|error| PayloadError::Url {
                    url: super::public(url.as_str()),
                    reason: error.to_string(),
                })?;
                Ok(Arc::new(store))
            }

            #[cfg(not(feature = $feature))]
            pub(super) fn $name(url: &Url) -> Store {
                Err(super::missing(url, $feature))
            }
        };
    }

    cloud!(
        s3,
        "payload-s3",
        object_store::aws::AmazonS3Builder,
        object_store::aws::AmazonS3ConfigKey
    );
    cloud!(
        gcs,
        "payload-gcs",
        object_store::gcp::GoogleCloudStorageBuilder,
        object_store::gcp::GoogleConfigKey
    );
    cloud!(
        azure,
        "payload-azure",
        object_store::azure::MicrosoftAzureBuilder,
        object_store::azure::AzureConfigKey
    );
}

#[cfg(any(
    feature = "payload-azure",
    feature = "payload-gcs",
    feature = "payload-s3"
))]
mod transport {
    //! What all clouds share: HTTP, TLS and retries.

    use std::time::Duration;

    use object_store::RetryConfig;

    /// Longest single call. Transfers are bounded by their size, outside the client.
    // The client's default of 30 s includes the body, and would end a payload of 1 GiB on most lines.
    pub(super) const LONGEST_CALL: &str = "2 hours";

    /// Few retries, because callers try again themselves and report it.
    // With the client's default, 10 tries within 3 minutes, a `put` would hide an outage from its caller for as long.
    pub(super) fn retries() -> RetryConfig {
        RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(15),
            ..RetryConfig::default()
        }
    }

    /// The HTTP client comes without a TLS provider, so that a program has only one: ring.
    pub(super) fn prepare() {
        // The program, or another back-end, may have chosen one before.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match open(url) {
            Ok(opened) => panic!("{} was opened", opened.name),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_url_of_no_store_is_refused_with_examples() {
        for url in ["", "bucket", "http://host/x", "ftp://host/x", "gs:///x"] {
            let said = refusal(url);
            assert!(said.contains("gs://bucket/prefix"), "{url}: {said}");
        }
    }

    #[test]
    fn errors_contain_no_secret() {
        let said = refusal("ftp://user:secret@host:2121/x?sig=secret");
        assert!(said.contains("ftp://user@host:2121/x"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert!(!public("no url?sig=secret").contains("secret"));
    }

    #[cfg(not(feature = "payload-gcs"))]
    #[test]
    fn a_store_that_is_not_compiled_in_names_its_feature() {
        let said = refusal("gs://bucket/prefix");
        assert!(said.contains("features = [\"payload-gcs\"]"), "{said}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let said = refusal("file:///dev/null/payloads");
        assert!(said.contains("/dev/null/payloads"), "{said}");
    }
}
