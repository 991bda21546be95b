//! The login for a registry, found as Docker's own tools find it.
//!
//! The file is `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. In it `credHelpers` names a helper for a
//! registry, `credsStore` one for all, and `auths` holds logins:
//! <https://docs.docker.com/reference/cli/docker/login/>.

mod helper;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::error::{ImageError, because};
use super::reference::{Place, registry_name};

/// The key of Docker Hub's login.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name that stands for an identity token.
const TOKEN_USER: &str = "<token>";
/// Helpers of clouds, whose passwords are tokens of some hours.
const SHORT_LIVED: [&str; 7] = [
    "gcloud",
    "gcr",
    "ecr-login",
    "acr",
    "acr-env",
    "acr-linux",
    "acr-login",
];
/// User names that clouds pair with such tokens.
const TOKEN_USERS: [&str; 4] = [
    "AWS",
    "_dcgcloud_token",
    "oauth2accesstoken",
    "00000000-0000-0000-0000-000000000000",
];

/// A login for a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Basic {
        user: String,
        password: String,
    },
    /// A refresh token, which the registry's token server takes in place of a password.
    Identity(String),
}

/// A login, and where it was found.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// None: the registry is used without a login.
    pub(super) login: Option<Login>,
    /// The file or the helper that was asked, for errors.
    pub(super) source: String,
    /// Whether the password is a token that ends within hours.
    pub(super) short_lived: bool,
}

/// Where logins are searched.
#[derive(Clone, Debug)]
pub(super) struct Logins {
    /// The configuration file; none where there is no home directory.
    pub(super) file: Option<PathBuf>,
    /// How long a helper may take.
    pub(super) patience: Duration,
}

/// The part of the configuration file that is read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// User and password with a colon between them, in base64.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Logins {
    /// Where Docker would search, by these variables.
    pub(super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let directory = set("DOCKER_CONFIG").map(PathBuf::from);
        let home = || {
            let home = set("HOME").or_else(|| set("USERPROFILE"))?;
            Some(PathBuf::from(home).join(".docker"))
        };
        Self {
            file: directory
                .or_else(home)
                .map(|directory| directory.join("config.json")),
            patience: helper::PATIENCE,
        }
    }

    /// The login for a repository. A registry that nothing is known of is used without one.
    ///
    /// # Errors
    /// A file that cannot be read, and a helper that fails.
    pub(super) async fn find(&self, place: &Place) -> Result<Found, ImageError> {
        let Some(file) = &self.file else {
            return Ok(Found::nothing(
                "there is no home directory, so no ~/.docker/config.json".to_owned(),
            ));
        };
        let shown = file.display().to_string();
        let config = match fs::read(file) {
            Ok(text) => serde_json::from_slice::<Config>(&text).map_err(because(format!(
                "the logins for {} cannot be read from {shown}",
                place.registry
            )))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Config::default(),
            Err(error) => {
                return Err(because(format!(
                    "the logins for {} cannot be read from {shown}",
                    place.registry
                ))(error));
            }
        };
        let helper = config.helper(place);
        if let Some(name) = helper {
            let key = match &*place.registry {
                "docker.io" => HUB_KEY,
                registry => registry,
            };
            let asked = helper::ask(name, key, self.patience).await;
            let asked = asked.map_err(because(format!(
                "no login for {} ({shown})",
                place.registry
            )))?;
            if let Some(login) = asked {
                return Ok(Found {
                    short_lived: SHORT_LIVED.contains(&name) || login.is_of_a_cloud(),
                    login: Some(login),
                    source: format!("docker-credential-{name}, which {shown} names"),
                });
            }
        }
        let Some((key, auth)) = config.auth(place) else {
            return Ok(Found::nothing(shown));
        };
        let login = auth.login();
        let login = login.map_err(because(format!(
            "the login for {key:?} in {shown} cannot be read"
        )))?;
        Ok(Found {
            short_lived: login.as_ref().is_some_and(Login::is_of_a_cloud),
            login,
            source: shown,
        })
    }
}

impl Found {
    /// No login; `source` is where one was searched.
    pub(super) const fn nothing(source: String) -> Self {
        Self {
            login: None,
            source,
            short_lived: false,
        }
    }
}

impl Login {
    /// A user with a password, or an identity token under its own user name.
    fn new(user: String, password: String) -> Self {
        match &*user {
            TOKEN_USER => Self::Identity(password),
            _ => Self::Basic { user, password },
        }
    }

    fn is_of_a_cloud(&self) -> bool {
        matches!(self, Self::Basic { user, .. } if TOKEN_USERS.contains(&&**user))
    }
}

impl Config {
    fn helper(&self, place: &Place) -> Option<&str> {
        let own = self
            .cred_helpers
            .iter()
            .find(|(key, _)| split(key).0 == place.registry);
        let own = own.map(|(_, name)| name);
        own.or(self.creds_store.as_ref())
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// The entry of the longest key that begins the repository's name. Entries without a login are marks that a helper
    /// has it.
    fn auth(&self, place: &Place) -> Option<(&String, &Auth)> {
        let fits = |(key, auth): &(&String, &Auth)| {
            let (registry, path) = split(key);
            let below = path.is_empty()
                || place.repository == path
                || place
                    .repository
                    .strip_prefix(&*path)
                    .is_some_and(|rest| rest.starts_with('/'));
            registry == place.registry && below && !auth.is_empty()
        };
        let fitting = self.auths.iter().filter(fits);
        fitting.max_by_key(|(key, _)| split(key).1.len())
    }
}

impl Auth {
    fn is_empty(&self) -> bool {
        let texts = [&self.auth, &self.username, &self.identitytoken];
        texts
            .iter()
            .all(|text| text.as_deref().unwrap_or_default().is_empty())
    }

    fn login(&self) -> Result<Option<Login>, String> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = set(&self.identitytoken) {
            return Ok(Some(Login::Identity(token)));
        }
        if let Some(auth) = set(&self.auth) {
            let auth = auth.trim();
            let bytes = STANDARD
                .decode(auth)
                .or_else(|_| STANDARD_NO_PAD.decode(auth));
            // The error would show a part of the password.
            let bytes = bytes.map_err(|_| "its `auth` is no base64".to_owned())?;
            let text = String::from_utf8(bytes).map_err(|_| "its `auth` is no text".to_owned())?;
            let (user, password) = text.split_once(':').ok_or("its `auth` has no colon")?;
            // Docker's own files may end with zero bytes.
            let password = password.trim_end_matches('\0');
            return Ok(Some(Login::new(user.to_owned(), password.to_owned())));
        }
        let user = set(&self.username);
        Ok(user.map(|user| Login::new(user, self.password.clone().unwrap_or_default())))
    }
}

/// The registry and the path of a key: `https://index.docker.io/v1/`, `registry.example`, `registry.example/team`.
fn split(key: &str) -> (String, String) {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = path.trim_end_matches('/');
    // The paths of the two versions of the API.
    let path = if matches!(path, "v1" | "v2") {
        ""
    } else {
        path
    };
    (registry_name(host), path.to_owned())
}

#[cfg(test)]
mod tests;
