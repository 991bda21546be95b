//! A worker's way to Pub/Sub, and the advice where Pub/Sub is not reached.

use std::env;

use crate::broker::pubsub::settings::EMULATOR;
use crate::broker::pubsub::{ConnectError, Connection};

/// The connection of a worker. The address of an emulator is taken from its own environment, else from the run's
/// descriptor.
pub(super) fn connection(
    project: &str,
    emulator: Option<&str>,
) -> Result<Connection, ConnectError> {
    let builder = Connection::builder().project(project);
    // A given endpoint overrides the environment, so none is given where the worker's own variable names an emulator.
    match emulator.filter(|_| own_emulator().is_none()) {
        Some(host) if host.contains("://") => builder.endpoint(host).open(),
        Some(host) => builder.endpoint(format!("http://{host}")).open(),
        None => builder.open(),
    }
}

/// The advice about a worker that never reached Pub/Sub.
pub(super) fn advice(emulator: Option<&str>) -> String {
    match own_emulator().as_deref().or(emulator) {
        Some(host) => format!(
            "it calls the emulator at {host}: look whether that address is there for pods and NetworkPolicies let them reach it, or set where pods find the emulator with PubSubOptions::worker_emulator_host or PODPOOL_WORKER_EMULATOR_HOST"
        ),
        None => "it calls Google's service: give the workers an identity with KubernetesOptions::service_account or PODPOOL_SERVICE_ACCOUNT, and look whether NetworkPolicies let pods reach pubsub.googleapis.com and the metadata server".to_owned(),
    }
}

/// The emulator that the worker's own environment names.
fn own_emulator() -> Option<String> {
    let host = env::var(EMULATOR).ok()?.trim().to_owned();
    Some(host).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_the_address_and_the_settings() {
        // The environment of the tests may name an emulator.
        let told = advice(Some("10.0.0.1:8085"));
        let address = own_emulator().unwrap_or_else(|| "10.0.0.1:8085".to_owned());
        for words in [&*address, "PODPOOL_WORKER_EMULATOR_HOST"] {
            assert!(told.contains(words), "{words:?} is not in {told:?}");
        }
        if own_emulator().is_none() {
            assert!(advice(None).contains("PODPOOL_SERVICE_ACCOUNT"));
            let connection = connection("demo", Some("10.0.0.1:8085")).unwrap();
            assert_eq!(connection.endpoint(), "http://10.0.0.1:8085");
        }
    }
}
