//! The address and the project of Pub/Sub: given settings first, then the environment.

use super::error::ConnectError;

/// Google's own address.
const GOOGLE: &str = "https://pubsub.googleapis.com";
/// The emulator's address, as `host:port`.
pub(crate) const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";
/// The variables of the project, in the order in which they are read.
pub(super) const PROJECT: [&str; 2] = ["PODPOOL_PROJECT", "GOOGLE_CLOUD_PROJECT"];
/// The emulator's project when none is named: the emulator accepts every project.
const EMULATOR_PROJECT: &str = "podpool";

/// The settings of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) project: String,
    /// With its scheme.
    pub(super) endpoint: String,
    /// No TLS: no credentials are sent, unless they were given for this connection.
    pub(super) plain: bool,
    /// The address is the one that [`EMULATOR`] names.
    pub(super) emulator: bool,
}

impl Settings {
    /// Given settings override the environment. A given endpoint overrides the emulator's.
    pub(super) fn resolve(
        project: Option<&str>,
        endpoint: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectError> {
        let read = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        // Without the variable where an endpoint is given: neither TLS nor the default project may depend on an
        // emulator that this connection does not use.
        let emulator = read(EMULATOR).filter(|_| endpoint.is_none());
        let endpoint = match (&emulator, endpoint) {
            (Some(host), _) => with_scheme(host.trim(), "http"),
            (None, Some(given)) => with_scheme(given, "https"),
            (None, None) => GOOGLE.to_owned(),
        };
        let named = emulator.is_some();
        let project = project
            .map(str::to_owned)
            .or_else(|| PROJECT.into_iter().find_map(read))
            .or_else(|| emulator.map(|_| EMULATOR_PROJECT.to_owned()))
            .ok_or(ConnectError::NoProject)?;
        Ok(Self {
            plain: endpoint.starts_with("http://"),
            emulator: named,
            project,
            endpoint,
        })
    }
}

/// The address, with a scheme if it has none, and without a slash at its end.
fn with_scheme(address: &str, scheme: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.contains("://") {
        address.to_owned()
    } else {
        format!("{scheme}://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        project: Option<&str>,
        endpoint: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<Settings, ConnectError> {
        Settings::resolve(project, endpoint, |name| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn settings(project: &str, endpoint: &str) -> Settings {
        Settings {
            project: project.to_owned(),
            endpoint: endpoint.to_owned(),
            plain: endpoint.starts_with("http:"),
            emulator: false,
        }
    }

    #[test]
    fn the_argument_overrides_the_environment() {
        let environment = [
            ("PODPOOL_PROJECT", "second"),
            ("GOOGLE_CLOUD_PROJECT", "third"),
        ];
        let found = resolve(Some("first"), None, &environment);
        assert_eq!(found.unwrap(), settings("first", GOOGLE));
        let found = resolve(None, None, &environment);
        assert_eq!(found.unwrap(), settings("second", GOOGLE));
        let found = resolve(None, None, &environment[1..]);
        assert_eq!(found.unwrap(), settings("third", GOOGLE));
    }

    #[test]
    fn without_a_project_the_error_names_the_ways_to_give_one() {
        let error = resolve(None, None, &[("GOOGLE_CLOUD_PROJECT", " ")])
            .unwrap_err()
            .to_string();
        for name in ["PODPOOL_PROJECT", "GOOGLE_CLOUD_PROJECT", EMULATOR] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn the_emulator_needs_no_project_and_no_tls() {
        let emulator = [(EMULATOR, "127.0.0.1:8085")];
        let found = resolve(None, None, &emulator).unwrap();
        let expected = Settings {
            emulator: true,
            ..settings("podpool", "http://127.0.0.1:8085")
        };
        assert_eq!(found, expected);
        let found = resolve(Some("demo"), None, &emulator).unwrap();
        assert_eq!(found.project, "demo");
    }

    #[test]
    fn a_given_endpoint_overrides_the_emulator() {
        let emulator = [(EMULATOR, "127.0.0.1:8085")];
        let found = resolve(Some("demo"), Some("http://localhost:1/"), &emulator).unwrap();
        assert_eq!(found, settings("demo", "http://localhost:1"));
        let found = resolve(Some("demo"), Some("pubsub.example"), &emulator).unwrap();
        assert_eq!(found, settings("demo", "https://pubsub.example"));
        assert!(resolve(None, Some("http://localhost:1"), &emulator).is_err());
    }
}
